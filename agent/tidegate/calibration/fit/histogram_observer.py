"""What 8-bit activations hold: the range of everything a setting computes, chosen by what is seen on S.

Engines quantize with the parameters that these give, so that a device computes with those that were certified.
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tidegate.calibration.data.batches import map_batches, parallel_batches
from tidegate.calibration.fit.histogram import Histogram
from tidegate.calibration.fit.range_choice import least_error_range, rounding_error
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

COUNTED = 2048
"""Of each sample's elements of a tensor: enough for where to cut it. Its ends come from all of them."""

ERROR_DIGITS = 4
"""Of a rounding error, behind the point."""

Histograms = dict[str, Histogram]


class HistogramObserver:
    """Ranges over one set of inputs (samples, *input shape), with the weights as they were trained."""

    def __init__(self, network: Network, inputs: Array) -> None:
        self._network = network
        self._inputs = inputs
        arrays = network.weights(network.weight_shapes)
        self._weights = {name: Fp32Weight(torch.tensor(array)) for name, array in arrays.items()}
        self._full: Ranges | None = None

    def ranges(self, setting: Knobs) -> Ranges:
        """By `segment/node`, and INPUT_NAME: those of the full network, and over them what the setting changes.

        What is seen of a tensor is cut where that lessens its error in 8 bits (`least_error_range`), and what
        error remains is told with it.

        Every sample goes to the end: who leaves by an exit on S may stay in the field. A gated block and its
        stand-in both see every sample that reaches them, for the same reason.
        """
        if self._full is None:
            self._full = self._seen(KnobSettings(activations=setting.activations, resolution=setting.resolution))
        return {**self._full, **self._seen(setting)}

    def _seen(self, setting: Knobs) -> Ranges:
        seen: Histograms = {}
        workers = [partial(self._of_batch, setting)] * parallel_batches(self._inputs)
        for histograms in map_batches(workers, self._inputs):
            for name, histogram in histograms.items():
                _add(seen, name, histogram)
        return {name: _spanned(histogram) for name, histogram in seen.items()}

    def _of_batch(self, setting: Knobs, batch: Array) -> Histograms:
        # Kept per calling thread by OpenMP; several batches run at once.
        torch.set_num_threads(1)
        seen: Histograms = {}
        with torch.inference_mode():
            x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
            x = x if setting.resolution is None else resized(x, setting.resolution)
            _note(seen, {INPUT_NAME: x})
            run = partial(self._run, setting, seen)
            walk(plan_execution(self._network, setting), x, run, partial(_both_ways, setting, run))
        return seen

    def _run(self, setting: Knobs, seen: Histograms, graph: Segment, x: Tensor) -> Tensor:
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


def _note(seen: Histograms, values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        _add(seen, name, _histogram(value))


def _add(seen: Histograms, name: str, histogram: Histogram) -> None:
    seen[name] = seen[name].merged(histogram) if name in seen else histogram


def _spanned(histogram: Histogram) -> tuple[float, float, float]:
    span = least_error_range(histogram)
    return span.low, span.high, round(rounding_error(histogram, span), ERROR_DIGITS)


def _histogram(value: Tensor) -> Histogram:
    """Of a tensor (samples, ...): every nth element, so that all channels and places come up in turn.

    No range can hold what is not finite, such as the -inf of a mask: it is left out.
    """
    per_sample = value.numel() // len(value)
    every = -(-per_sample // COUNTED)
    while math.gcd(every, per_sample) > 1:
        every += 1
    low, high = torch.aminmax(value)
    if not (low.isfinite() and high.isfinite()):
        value = value[value.isfinite()]
        if not len(value):
            return Histogram.of(np.zeros(1, np.float32))
        low, high = torch.aminmax(value)
    return Histogram.of(value.flatten()[::every].numpy(), float(low), float(high))
