"""What 8-bit activations must hold: the least and the largest value of everything a setting computes, seen on S.

Engines quantize with the parameters that these give, so that a device computes with those that were certified.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tidegate.calibration.data.batches import map_batches, parallel_batches
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.plan.execution import Subgraph, plan_execution
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.engines.reference.resolution import resized
from tidegate.engines.reference.walk import Run, walk
from tidegate.models.gates import GateInput, GatePosition, activity
from tidegate.models.graph import Segment
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Ranges
from tidegate.models.network import Network
from tidegate.models.precision import Fp32Weight

INPUT_NAME = ""


class MinMaxObserver:
    """Ranges over one set of inputs (samples, *input shape), with the weights as they were trained."""

    def __init__(self, network: Network, inputs: Array) -> None:
        self._network = network
        self._inputs = inputs
        arrays = network.weights(network.weight_shapes)
        self._weights = {name: Fp32Weight(torch.tensor(array)) for name, array in arrays.items()}
        self._full: Ranges | None = None

    def ranges(self, setting: Knobs) -> Ranges:
        """By `segment/node`, and INPUT_NAME: those of the full network, and over them what the setting changes.

        Every sample goes to the end: who leaves by an exit on S may stay in the field. A gated block and its
        stand-in both see every sample that reaches them, for the same reason.
        """
        if self._full is None:
            self._full = self._seen(KnobSettings(activations=setting.activations, resolution=setting.resolution))
        return {**self._full, **self._seen(setting)}

    def _seen(self, setting: Knobs) -> Ranges:
        seen: dict[str, tuple[float, float]] = {}
        workers = [partial(self._of_batch, setting)] * parallel_batches(self._inputs)
        for ranges in map_batches(workers, self._inputs):
            for name, span in ranges.items():
                _widen(seen, name, span)
        return seen

    def _of_batch(self, setting: Knobs, batch: Array) -> Ranges:
        # Kept per calling thread by OpenMP; several batches run at once.
        torch.set_num_threads(1)
        seen: dict[str, tuple[float, float]] = {}
        with torch.inference_mode():
            x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
            x = x if setting.resolution is None else resized(x, setting.resolution)
            _note(seen, {INPUT_NAME: x})
            run = partial(self._run, setting, seen)
            walk(plan_execution(self._network, setting), x, run, partial(_both_ways, setting, run))
        return seen

    def _run(self, setting: Knobs, seen: dict[str, tuple[float, float]], graph: Segment, x: Tensor) -> Tensor:
        weights = {name: self._weights[name] for name in graph.weights}
        values = Interpreter(graph, weights, setting.activations).values(x)
        _note(seen, {f"{graph.name}/{node.name}": values[node.name] for node in graph.nodes})
        return values[graph.nodes[-1].name]


def _both_ways(setting: Knobs, run: Run[Tensor], subgraph: Subgraph, x: Tensor, previous: Tensor | None) -> Tensor:
    """All samples through a block and through what stands in for it; each goes on with what its gate decides."""
    gate = activity.gate_for(setting, GatePosition(subgraph.segment))
    assert gate is not None  # noqa: S101 - a gated subgraph has a threshold
    is_open = torch.as_tensor(gate.decide(GateInput(x, previous)).open)
    skipped = x if subgraph.stand_in is None else run(subgraph.stand_in, x)
    computed = run(subgraph.segment, x)
    return torch.where(is_open.reshape(-1, *[1] * (computed.ndim - 1)), computed, skipped)


def _note(seen: dict[str, tuple[float, float]], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        _widen(seen, name, (float(value.min()), float(value.max())))


def _widen(seen: dict[str, tuple[float, float]], name: str, span: tuple[float, float]) -> None:
    known = seen.get(name, span)
    seen[name] = min(span[0], known[0]), max(span[1], known[1])
