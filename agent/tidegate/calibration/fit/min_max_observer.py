"""What 8-bit activations must hold: the least and the largest value of everything a setting computes, seen on S.

Engines lay their uint8 grids over these, so that a device computes on the very grids that were certified.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tidegate.calibration.data.batches import map_batches, parallel_batches
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.engines.reference.resolution import resized
from tidegate.models.gates import GateInput, GatePosition, gates_for
from tidegate.models.graph import Segment
from tidegate.models.knobs import stand_in_of
from tidegate.models.ladder import Ranges, StandIn
from tidegate.models.network import TrainedNetwork, blocks_of
from tidegate.models.precision import Fp32Weight

INPUT_NAME = ""


class MinMaxObserver:
    """Ranges over one set of inputs (samples, *input shape), with the weights as they were trained."""

    def __init__(self, network: TrainedNetwork, inputs: Array) -> None:
        self._network = network
        self._inputs = inputs
        self._weights = {name: Fp32Weight(torch.from_numpy(array)) for name, array in network.arrays.items()}
        self._blocks = {block.name for block in blocks_of(network)}
        self._full: Ranges | None = None

    def ranges(self, setting: KnobSettings) -> Ranges:
        """By `segment/node`, and INPUT_NAME: those of the full network, and over them what the setting changes.

        Every sample goes to the end: who leaves by an exit on S may stay in the field. A gated block and its
        stand-in both see every sample that reaches them, for the same reason.
        """
        if self._full is None:
            self._full = self._seen(KnobSettings(activations=setting.activations, resolution=setting.resolution))
        return {**self._full, **self._seen(setting)}

    def _seen(self, setting: KnobSettings) -> Ranges:
        seen: dict[str, tuple[float, float]] = {}
        workers = [partial(self._of_batch, setting)] * parallel_batches(self._inputs)
        for ranges in map_batches(workers, self._inputs):
            for name, span in ranges.items():
                _widen(seen, name, span)
        return seen

    def _of_batch(self, setting: KnobSettings, batch: Array) -> Ranges:
        # Kept per calling thread by OpenMP; several batches run at once.
        torch.set_num_threads(1)
        seen: dict[str, tuple[float, float]] = {}
        with torch.inference_mode():
            x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
            x = x if setting.resolution is None else resized(x, setting.resolution)
            _note(seen, {INPUT_NAME: x})
            previous: Tensor | None = None
            for segment in self._network.segments:
                before = x
                x = self._through(segment, setting, GateInput(x, previous), seen)
                previous = before if segment.name in self._blocks else previous
        return seen

    def _through(
        self, segment: Segment, setting: KnobSettings, given: GateInput, seen: dict[str, tuple[float, float]]
    ) -> Tensor:
        if segment.name not in self._blocks:
            return self._run(segment, given.x, setting, seen)
        if segment.name in setting.exits:
            self._run(self._network.exit_heads[segment.name], given.x, KnobSettings(), seen)
        position = GatePosition(segment)
        gates = gates_for(_without_exits(setting), position)
        if not gates:
            return self._run(segment, given.x, setting, seen)
        verdict = gates[-1].decide(given).open
        kind = stand_in_of(setting, segment.name)
        skipped = given.x
        if kind is not StandIn.IDENTITY:
            skipped = self._run(self._network.stand_ins[segment.name][kind], given.x, KnobSettings(), seen)
        if isinstance(verdict, bool):
            return self._run(segment, given.x, setting, seen) if verdict else skipped
        computed = self._run(segment, given.x, setting, seen)
        return torch.where(verdict.reshape(-1, *[1] * (computed.ndim - 1)), computed, skipped)

    def _run(
        self, segment: Segment, x: Tensor, setting: KnobSettings, seen: dict[str, tuple[float, float]]
    ) -> Tensor:
        weights = {name: self._weights[name] for name in segment.weights}
        values = Interpreter(segment, weights, setting.activations).values(x)
        _note(seen, {f"{segment.name}/{node.name}": values[node.name] for node in segment.nodes})
        return values[segment.nodes[-1].name]


def _without_exits(setting: KnobSettings) -> KnobSettings:
    return KnobSettings(thresholds=setting.thresholds, skip=setting.skip, activity=setting.activity)


def _note(seen: dict[str, tuple[float, float]], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        _widen(seen, name, (float(value.min()), float(value.max())))


def _widen(seen: dict[str, tuple[float, float]], name: str, span: tuple[float, float]) -> None:
    known = seen.get(name, span)
    seen[name] = min(span[0], known[0]), max(span[1], known[1])
