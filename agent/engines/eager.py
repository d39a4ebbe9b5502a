"""The reference engine: plain torch operators, one after the other. All other engines are checked against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agent.engines.engine import Answer, Array, UnsupportedPoint
from agent.engines.interpreter import Interpreter, check_runs
from agent.engines.resolution import resized, runs_at
from agent.models.gates import Gate, gate_of
from agent.models.graph import Segment, layer_of
from agent.models.knobs import Knobs, precision_of
from agent.models.ladder import OperatingPoint
from agent.models.network import Network, blocks_of
from agent.models.precision import StoredWeight, store
from agent.models.sites import sites_of

NAME = "eager"

Watch = Callable[[str, Tensor], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: outputs (samples, *output shape) and in how many samples each block ran."""

    outputs: Array
    executed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Stage:
    """One segment with its gate; `gate` is None where the segment is no block and must run."""

    name: str
    compute: Interpreter
    gate: Gate | None


class EagerNetwork:
    """A network at one setting of the knobs. Its weights are its own: no other setting touches them."""

    def __init__(self, stages: tuple[_Stage, ...], resolution: tuple[int, int] | None = None) -> None:
        self._stages = stages
        self._resolution = resolution

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of the tensors held; a block that never runs holds none."""
        return sum(stage.compute.weights_resident_bytes for stage in self._stages)

    def forward(self, batch: Array, watch: Watch | None = None) -> Pass:
        """Answer a batch (samples, *input shape); `watch` is shown the input of every block, skipped or not."""
        # np.require copies only when it must: torch warns of arrays that can't be written to.
        x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
        executed: dict[str, int] = {}
        with torch.inference_mode():
            x = x if self._resolution is None else resized(x, self._resolution)
            for stage in self._stages:
                if stage.gate is None:
                    x = stage.compute(x)
                    continue
                if watch is not None:
                    watch(stage.name, x)
                x, executed[stage.name] = _gated(stage.compute, stage.gate.open_for(x), x)
        return Pass(x.numpy(), executed)


class EagerVariant:
    """An operating point ready to answer."""

    def __init__(self, point: OperatingPoint, network: EagerNetwork) -> None:
        self._point = point
        self._network: EagerNetwork | None = network

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights held, 0 after `release`."""
        return 0 if self._network is None else self._network.weights_resident_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape). Raises RuntimeError after `release`."""
        if self._network is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        # The count is kept per calling thread by OpenMP, so it is set where the work is done (7 us).
        if torch.get_num_threads() != self._point.threads:
            torch.set_num_threads(self._point.threads)
        done = self._network.forward(batch)
        executed = sum(done.executed.values())
        return Answer(done.outputs, executed, len(batch) * len(done.executed) - executed)

    def release(self) -> None:
        """Let go of the weights."""
        self._network = None


class EagerEngine:
    """Prepares variants from a network's master weights, which are read anew each time and never kept."""

    def __init__(self, network: Network) -> None:
        """Raises BundleError when the segments don't fit together."""
        check_runs(network)
        self._model = network
        self._blocks = frozenset(segment.name for segment in blocks_of(network))
        self._layers = frozenset(layer for segment in network.segments for layer in segment.layers)
        self._sites = frozenset(site.name for segment in network.segments for site in sites_of(segment))

    @property
    def name(self) -> str:
        """`eager`."""
        return NAME

    def prepare(self, point: OperatingPoint) -> EagerVariant:
        """Raises UnsupportedPoint for another engine's point, or for unknown blocks or layers."""
        if point.engine != NAME:
            raise UnsupportedPoint(f"{point.name}: made for engine {point.engine!r}, this one is {NAME!r}")
        return EagerVariant(point, self.build(point))

    def build(self, knobs: Knobs) -> EagerNetwork:
        """The network at a setting of the knobs. Raises UnsupportedPoint for unknown blocks or layers."""
        unknown = (knobs.skip | knobs.thresholds.keys()) - self._blocks
        if unknown:
            raise UnsupportedPoint(f"{sorted(unknown)} are no blocks; blocks are {sorted(self._blocks)}")
        strange = knobs.layer_precision.keys() - self._layers
        if strange:
            raise UnsupportedPoint(f"{sorted(strange)} are no layers; layers are {sorted(self._layers)}")
        lost = knobs.activations.keys() - self._sites
        if lost:
            raise UnsupportedPoint(f"{sorted(lost)} are no stored values; those are {sorted(self._sites)}")
        used = [
            name for segment in self._model.segments if segment.name not in knobs.skip for name in segment.weights
        ]
        stored = {
            name: store(array, precision_of(knobs, layer_of(name)))
            for name, array in self._model.weights(used).items()
        }
        if knobs.resolution is not None:
            _check_resolution(self._model, knobs.resolution)
        stages = tuple(_stage(segment, knobs, stored) for segment in self._model.segments)
        return EagerNetwork(stages, knobs.resolution)


def _check_resolution(network: Network, resolution: tuple[int, int]) -> None:
    reason = runs_at(network, resolution)
    if reason is not None:
        raise UnsupportedPoint(f"resolution {resolution}: {reason}")


def _stage(segment: Segment, knobs: Knobs, stored: Mapping[str, StoredWeight]) -> _Stage:
    weights = {name: stored[name] for name in segment.weights if name in stored}
    gate = gate_of(knobs, segment.name) if segment.skippable else None
    return _Stage(segment.name, Interpreter(segment, weights, knobs.activations), gate)


def _gated(compute: Interpreter, is_open: Tensor | bool, x: Tensor) -> tuple[Tensor, int]:
    """The block's output, with the input passed on in samples whose gate is shut; and how many samples ran."""
    if isinstance(is_open, bool):
        return (compute(x), len(x)) if is_open else (x, 0)
    active = is_open.nonzero().flatten()
    if len(active) == 0:
        return x, 0
    if len(active) == len(x):
        return compute(x), len(x)
    return x.index_copy(0, active, compute(x.index_select(0, active))), len(active)
