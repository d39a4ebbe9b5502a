"""Running a network for study: its outputs together with what its weights and stored activations take.

Gates are not studied here: every block runs, or is skipped for all samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from agent.engines.engine import Array, UnsupportedPoint
from agent.engines.interpreter import Interpreter
from agent.engines.resolution import resized
from agent.models.encoding import dense_bytes, stored_bytes
from agent.models.graph import INPUT, Segment, layer_of
from agent.models.knobs import Knobs, precision_of
from agent.models.ladder import Activation, Precision
from agent.models.liveness import Sizes, peak_live, results
from agent.models.network import Network
from agent.models.precision import Fp32Weight, store
from agent.models.sites import Site, sites_of

FP32_BITS = 32
IMAGE_BITS = 8
"""What an input image takes once activations are 8 bits or less: images arrive as bytes."""

_CHUNK_ELEMENTS = 2**19
"""Input elements at once: bounds the memory of values that are all kept until their segment is done."""

Observe = Callable[[Site, Tensor], None]


@dataclass(frozen=True, slots=True)
class Trace:
    """Outputs (samples, *output shape), bytes held, and the largest live activations over the samples."""

    outputs: Array
    weights_resident_bytes: int
    peak_live_dense_bytes: int
    peak_live_encoded_bytes: int
    peak_segment: str

    @property
    def model_bytes(self) -> int:
        """Weights resident plus encoded live activations."""
        return self.weights_resident_bytes + self.peak_live_encoded_bytes


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights widened once, with the bytes they take as they would be kept."""

    widened: Mapping[str, Fp32Weight]
    nbytes: int


@dataclass(slots=True)
class _Flow:
    """What goes from segment to segment: values and the bytes they take, per sample."""

    values: Tensor
    dense: Sizes
    encoded: Sizes


class Tracer:
    """Traces one network at many settings; each weight is rounded once per precision and kept."""

    def __init__(self, network: Network) -> None:
        self._segments = network.segments
        self._arrays = network.weights(network.weight_shapes)
        self._sites = {segment.name: sites_of(segment) for segment in network.segments}
        self._stored: dict[tuple[str, Precision], tuple[Fp32Weight, int]] = {}

    @property
    def sites(self) -> tuple[Site, ...]:
        """All stored values of the network, in order."""
        return tuple(site for segment in self._segments for site in self._sites[segment.name])

    def trace(self, knobs: Knobs, inputs: Array, observe: Observe | None = None) -> Trace:
        """Run inputs (samples, *input shape); `observe` is shown each stored value, chunk by chunk.

        Raises UnsupportedPoint for a setting with gates that look at the input.
        """
        gated = knobs.thresholds.keys() | knobs.exits.keys()
        if gated:
            raise UnsupportedPoint(f"gates at {sorted(gated)}: what is alive then depends on the input")
        if knobs.stand_ins:
            raise UnsupportedPoint(f"stand-ins at {sorted(knobs.stand_ins)}: only the network itself is traced")
        segments = [segment for segment in self._segments if segment.name not in knobs.skip]
        weights = {segment.name: self._weights(segment, knobs) for segment in segments}
        outputs: list[Tensor] = []
        samples = max(1, _CHUNK_ELEMENTS // max(1, inputs[0].size))
        peaks: dict[str, list[tuple[Sizes, Sizes]]] = {segment.name: [] for segment in segments}
        with torch.inference_mode():
            for chunk in torch.split(torch.from_numpy(np.require(inputs, np.float32, ["C", "W"])), samples):
                flow = _entering(chunk, knobs)
                for segment in segments:
                    flow, peak = self._through(segment, weights[segment.name], knobs, flow, observe)
                    peaks[segment.name].append(peak)
                outputs.append(flow.values)
        dense = {name: max(int(chunk[0].max()) for chunk in chunks) for name, chunks in peaks.items()}
        encoded = {name: max(int(chunk[1].max()) for chunk in chunks) for name, chunks in peaks.items()}
        return Trace(
            torch.cat(outputs).numpy(),
            sum(held.nbytes for held in weights.values()),
            max(dense.values()),
            max(encoded.values()),
            max(encoded, key=encoded.__getitem__),
        )

    def _through(
        self, segment: Segment, weights: _Weights, knobs: Knobs, flow: _Flow, observe: Observe | None
    ) -> tuple[_Flow, tuple[Sizes, Sizes]]:
        sites = self._sites[segment.name]
        values = Interpreter(segment, weights.widened, knobs.activations).values(flow.values)
        dense, encoded = {INPUT: flow.dense}, {INPUT: flow.encoded}
        for site in sites:
            if observe is not None:
                observe(site, values[site.node])
            dense[site.node], encoded[site.node] = _sizes(values[site.node], _bits(site, knobs.activations))
        (result,) = results(segment, sites)
        out = _Flow(values[segment.nodes[-1].name], dense[result], encoded[result])
        return out, (peak_live(segment, sites, dense), peak_live(segment, sites, encoded))

    def _weights(self, segment: Segment, knobs: Knobs) -> _Weights:
        held = {name: self._held(name, precision_of(knobs, layer_of(name))) for name in segment.weights}
        return _Weights(
            {name: weight for name, (weight, _) in held.items()}, sum(size for _, size in held.values())
        )

    def _held(self, name: str, precision: Precision) -> tuple[Fp32Weight, int]:
        key = (name, precision)
        if key not in self._stored:
            stored = store(self._arrays[name], precision)
            self._stored[key] = Fp32Weight(stored.widened()), stored.nbytes
        return self._stored[key]


def _entering(chunk: Tensor, knobs: Knobs) -> _Flow:
    images = chunk if knobs.resolution is None else resized(chunk, knobs.resolution)
    dense, encoded = _sizes(images, IMAGE_BITS if knobs.activations else FP32_BITS)
    return _Flow(images, dense, encoded)


def _bits(site: Site, activations: Mapping[str, Activation]) -> int:
    setting = activations.get(site.name)
    return FP32_BITS if setting is None or setting.bits is None else setting.bits


def _sizes(values: Tensor, bits: int) -> tuple[Sizes, Sizes]:
    """Bytes per sample dense, and encoded where that is smaller."""
    flat = values.flatten(1)
    elements = flat.shape[1]
    dense = dense_bytes(elements, bits)
    nonzero: npt.NDArray[np.int64] = torch.count_nonzero(flat, 1).numpy()
    encoded = np.array([stored_bytes(elements, int(count), bits) for count in nonzero], np.int64)
    return np.full(len(flat), dense, np.int64), encoded
