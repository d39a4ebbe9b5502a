"""Running a network for study: its outputs together with what its weights and stored activations take."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tidegate.engines.engine import Array, UnsupportedPoint
from tidegate.engines.plan.execution import Subgraph, plan_execution, weights_of
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.engines.reference.resolution import resized
from tidegate.engines.reference.walk import Run, walk
from tidegate.engines.support import at_resolution
from tidegate.models.encoding import dense_bytes, stored_bytes
from tidegate.models.graph import INPUT, Segment, layer_of
from tidegate.models.graph.activation_tensors import ActivationTensor, activation_tensors_of
from tidegate.models.graph.liveness import Sizes, peak_live, results
from tidegate.models.knobs import Knobs, precision_of
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import Network
from tidegate.models.precision import Fp32Weight, store

FP32_BITS = 32
IMAGE_BITS = 8
"""What an input image takes once activations are 8 bits or less: images arrive as bytes."""

_CHUNK_ELEMENTS = 2**19
"""Input elements at once: bounds the memory of values that are all kept until their segment is done."""

Observe = Callable[[ActivationTensor, Tensor], None]


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that a setting holds: weights, and activations alive at once in the worst case over the samples.

    In the worst case every gate is open and every exit's head runs, yet no sample leaves. A block that never runs
    is left out, with its stand-in in its place.
    """

    weights_resident_bytes: int
    peak_live_dense_bytes: int
    peak_live_encoded_bytes: int

    @property
    def model_bytes(self) -> int:
        """Weights resident plus encoded live activations."""
        return self.weights_resident_bytes + self.peak_live_encoded_bytes


@dataclass(frozen=True, slots=True)
class Trace(Held):
    """Outputs (samples, *output shape), what is held, and in which segment the most is alive."""

    outputs: Array
    peak_segment: str


@dataclass(frozen=True, slots=True)
class _Flow:
    """What goes from segment to segment: values and the bytes they take, per sample."""

    values: Tensor
    dense: Sizes
    encoded: Sizes


class Tracer:
    """Traces one network at many settings; each weight is rounded once per precision and kept."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._arrays = network.weights(network.weight_shapes)
        self._stored: dict[tuple[str, Precision], tuple[Fp32Weight, int]] = {}

    @property
    def activation_tensors(self) -> tuple[ActivationTensor, ...]:
        """All activation tensors of the network, in order."""
        return tuple(tensor for segment in self._network.segments for tensor in activation_tensors_of(segment))

    def trace(self, knobs: Knobs, inputs: Array, observe: Observe | None = None) -> Trace:
        """Run inputs (samples, *input shape); `observe` is shown each activation tensor, chunk by chunk.

        Raises UnsupportedPoint for a setting with gates that look at the input: see `held`.
        """
        gated = knobs.thresholds.keys() | knobs.exits.keys()
        if gated:
            raise UnsupportedPoint(f"gates at {sorted(gated)}: what runs then depends on the input")
        run = self._run(knobs, inputs, observe)
        dense, encoded = run.largest("dense"), run.largest("encoded")
        outputs = torch.cat(run.outputs).numpy()
        return Trace(self._weights_bytes(knobs), dense, encoded, outputs, run.peak_segment)

    def held(self, knobs: Knobs, inputs: Array) -> Held:
        """What any setting holds in the worst case over inputs (samples, *input shape)."""
        run = self._run(knobs, inputs, None)
        return Held(self._weights_bytes(knobs), run.largest("dense"), run.largest("encoded"))

    def _run(self, knobs: Knobs, inputs: Array, observe: Observe | None) -> "_Peaks":
        plan = plan_execution(at_resolution(self._network, knobs.resolution), knobs)
        samples = max(1, _CHUNK_ELEMENTS // max(1, inputs[0].size))
        run = _Peaks()
        with torch.inference_mode():
            for chunk in torch.split(torch.from_numpy(np.require(inputs, np.float32, ["C", "W"])), samples):
                through = partial(self._through, knobs, observe, run)
                out = walk(plan, _entering(chunk, knobs), through, partial(_gate_open, through))
                run.outputs.append(out.values)
        return run

    def _through(
        self, knobs: Knobs, observe: Observe | None, run: "_Peaks", segment: Segment, flow: _Flow
    ) -> _Flow:
        """What comes out; the segment's peaks per sample, dense and encoded, go to the run."""
        tensors = activation_tensors_of(segment)
        weights = {name: self._held(name, precision_of(knobs, layer_of(name)))[0] for name in segment.weights}
        values = Interpreter(segment, weights, knobs.activations).values(flow.values)
        dense, encoded = {INPUT: flow.dense}, {INPUT: flow.encoded}
        for tensor in tensors:
            if observe is not None:
                observe(tensor, values[tensor.node])
            bits = _bits(tensor, knobs.activations)
            dense[tensor.node], encoded[tensor.node] = _sizes(values[tensor.node], bits)
        (result,) = results(segment, tensors)
        run.add(segment.name, peak_live(segment, tensors, dense), peak_live(segment, tensors, encoded))
        return _Flow(values[segment.nodes[-1].name], dense[result], encoded[result])

    def _weights_bytes(self, knobs: Knobs) -> int:
        names = weights_of(plan_execution(self._network, knobs))
        return sum(self._held(name, precision_of(knobs, layer_of(name)))[1] for name in names)

    def _held(self, name: str, precision: Precision) -> tuple[Fp32Weight, int]:
        key = (name, precision)
        if key not in self._stored:
            stored = store(self._arrays[name], precision)
            self._stored[key] = Fp32Weight(stored.dequantize()), stored.nbytes
        return self._stored[key]


@dataclass(slots=True)
class _Peaks:
    """What one run over all chunks leaves: outputs, and peaks by segment."""

    outputs: list[Tensor] = field(default_factory=list)
    peaks: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, segment: str, dense: Sizes, encoded: Sizes) -> None:
        """One segment's peaks on one chunk."""
        peaks = self.peaks.setdefault(segment, {"dense": 0, "encoded": 0})
        for kind, sizes in (("dense", dense), ("encoded", encoded)):
            peaks[kind] = max(peaks[kind], int(sizes.max()))

    def largest(self, kind: str) -> int:
        """Over all segments and samples."""
        return max(peaks[kind] for peaks in self.peaks.values())

    @property
    def peak_segment(self) -> str:
        """Where the most is alive, encoded."""
        return max(self.peaks, key=lambda segment: self.peaks[segment]["encoded"])


def _gate_open(run: Run[_Flow], subgraph: Subgraph, flow: _Flow, _previous: _Flow | None) -> _Flow:
    """The worst case."""
    return run(subgraph.segment, flow)


def _entering(chunk: Tensor, knobs: Knobs) -> _Flow:
    images = chunk if knobs.resolution is None else resized(chunk, knobs.resolution)
    dense, encoded = _sizes(images, IMAGE_BITS if knobs.activations else FP32_BITS)
    return _Flow(images, dense, encoded)


def _bits(tensor: ActivationTensor, activations: Mapping[str, Activation]) -> int:
    setting = activations.get(tensor.name)
    return FP32_BITS if setting is None or setting.bits is None else setting.bits


def _sizes(values: Tensor, bits: int) -> tuple[Sizes, Sizes]:
    """Bytes per sample dense, and encoded where that is smaller."""
    flat = values.reshape(len(values), -1)  # a value may be one number per sample
    elements = flat.shape[1]
    dense = dense_bytes(elements, bits)
    nonzero: npt.NDArray[np.int64] = torch.count_nonzero(flat, 1).numpy()
    encoded = np.array([stored_bytes(elements, int(count), bits) for count in nonzero], np.int64)
    return np.full(len(flat), dense, np.int64), encoded
