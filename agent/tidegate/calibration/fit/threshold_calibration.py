"""Thresholds of gates and exits for the engine that will hold values against them.

The search sets them on eager's values. Rounded activations move scores and margins, so that at the same
thresholds more samples would stop, or fewer. Here each threshold is set anew on part S so that as many samples
stop at it as in eager. The network is cut at its gates, and each partition is run by the engine itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.candidate import candidate
from tidegate.calibration.data.batches import answer_on_all_cores
from tidegate.calibration.fit.histogram_observer import INPUT_NAME
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.plan.execution import Subgraph, plan_execution
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import score_of
from tidegate.models.gates.margin import margin
from tidegate.models.graph import Segment
from tidegate.models.ladder import Activity
from tidegate.models.network import TrainedNetwork

_T = TypeVar("_T")

Values = npt.NDArray[np.float32]

_LOOKS_BACK = frozenset({Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE})
"""Activities of more than the block's input, which a partition doesn't have."""

_AS_REFERENCE = TargetEngine(REFERENCE, "", EagerEngine)


@dataclass(frozen=True, slots=True)
class Stops:
    """How many samples go on past each gate, and how many leave by each exit."""

    going_on: Mapping[str, int]
    leaving: Mapping[str, int]


def stops_on_reference(network: TrainedNetwork, setting: KnobSettings, inputs: Array) -> Stops:
    """Those of a setting on eager, from inputs (samples, *input shape): what every engine is fitted to."""
    walk = _Walk(network, inputs, _AS_REFERENCE)
    going_on, leaving = dict[str, int](), dict[str, int]()
    for subgraph in plan_execution(network, setting) if _is_calibrated(setting) else ():
        name = subgraph.name
        if name in setting.exits:
            margins = walk.margins(subgraph, setting)
            leaving[name] = int((margins[walk.here] > setting.exits[name]).sum())
            walk.here &= margins <= setting.exits[name]
        if name in setting.thresholds and setting.activity not in _LOOKS_BACK:
            going_on[name] = int((walk.scores(setting) > setting.thresholds[name]).sum())
        walk.waiting.append(subgraph)
    return Stops(going_on, leaving)


def with_calibrated_thresholds(
    network: TrainedNetwork, setting: KnobSettings, inputs: Array, target: TargetEngine, stops: Stops
) -> KnobSettings:
    """The setting with thresholds by which as many of the inputs stop on the engine as do on the reference.

    Thresholds on activities that look back, and those of resized images, stay as they are. Raises UnsupportedPoint
    for what the engine can't run.
    """
    walk = _Walk(network, inputs, target)
    found = setting
    for subgraph in plan_execution(network, setting) if _is_calibrated(setting) else ():
        name = subgraph.name
        if name in stops.leaving:
            margins = walk.margins(subgraph, found)
            exit_at = _exceeded_by(margins[walk.here], stops.leaving[name], setting.exits[name])
            found = replace(found, exits={**found.exits, name: exit_at})
            walk.here &= margins <= exit_at
        if name in stops.going_on:
            tau = _exceeded_by(walk.scores(found), stops.going_on[name], setting.thresholds[name])
            found = replace(found, thresholds={**found.thresholds, name: tau})
        walk.waiting.append(subgraph)
    return found


def _is_calibrated(setting: KnobSettings) -> bool:
    return bool(setting.exits or setting.thresholds) and setting.resolution is None


class _Walk:
    """Samples on their way through an engine, all to the end; `here` marks those that no exit has taken."""

    def __init__(self, network: TrainedNetwork, inputs: Array, target: TargetEngine) -> None:
        self.here = np.ones(len(inputs), np.bool_)
        self.waiting: list[Subgraph] = []
        self._network = network
        self._target = target
        self._x = inputs
        self._boundary = INPUT_NAME

    def margins(self, block: Subgraph, setting: KnobSettings) -> Values:
        """Top-1 minus top-2 probability of all samples, (samples,), at the exit before a block."""
        self._catch_up(setting)
        answers = self._run([self._network.exit_heads[block.name]], setting)
        values: Values = margin(torch.from_numpy(answers)).numpy()
        return values

    def scores(self, setting: KnobSettings) -> Values:
        """Activities, at the gate of the segment to come, of the samples still here."""
        self._catch_up(setting)
        values: Values = score_of(setting.activity)(GateInput(torch.from_numpy(self._x[self.here]))).numpy()
        return values

    def _catch_up(self, setting: KnobSettings) -> None:
        partition = [subgraph for subgraph in self.waiting if subgraph.graph is not None]
        if partition:
            self._x = self._run([subgraph.segment for subgraph in partition], setting)
            self._boundary = partition[-1].output_name
        self.waiting = []

    def _run(self, partition: Sequence[Segment], setting: KnobSettings) -> Array:
        network = _partition(self._network, partition)
        ranges = {**setting.ranges, INPUT_NAME: setting.ranges[self._boundary]} if setting.ranges else {}
        own = replace(_within(setting, network), ranges=ranges)
        point = candidate(own, self._target.name)
        return answer_on_all_cores(self._target.over(network), point, self._x).outputs


def _partition(network: TrainedNetwork, segments: Sequence[Segment]) -> TrainedNetwork:
    stand_ins = {each.name: network.stand_ins[each.name] for each in segments if each.name in network.stand_ins}
    graphs = [*segments, *(graph for kinds in stand_ins.values() for graph in kinds.values())]
    arrays = {name: network.arrays[name] for graph in graphs for name in graph.weights}
    return TrainedNetwork(tuple(segments), arrays, stand_ins)


def _within(setting: KnobSettings, partition: TrainedNetwork) -> KnobSettings:
    """What of a setting concerns a partition; nobody leaves from inside one."""
    blocks = {segment.name for segment in partition.segments}
    graphs = [*partition.segments, *(graph for kinds in partition.stand_ins.values() for graph in kinds.values())]
    layers = {layer for graph in graphs for layer in graph.layers}
    return replace(
        setting,
        exits={},
        thresholds=_only(setting.thresholds, blocks.__contains__),
        skip=setting.skip & blocks,
        stand_ins=_only(setting.stand_ins, blocks.__contains__),
        layer_precision=_only(setting.layer_precision, layers.__contains__),
        activations=_only(setting.activations, lambda name: name.rpartition(".")[0] in blocks),
    )


def _only(knob: Mapping[str, _T], belongs: Callable[[str], bool]) -> dict[str, _T]:
    return {name: value for name, value in knob.items() if belongs(name)}


def _exceeded_by(values: Values, count: int, now: float) -> float:
    """The threshold that `count` of the values exceed, halfway to the next: there it is safest from rounding.

    Where all or none are to exceed it, it moves from where it is `now` no further than it must.
    """
    if len(values) == 0:
        return now
    ordered = np.sort(values)[::-1].astype(np.float64)
    if count <= 0:
        return max(now, float(ordered[0]))
    if count >= len(ordered):
        return min(now, float(np.nextafter(np.float32(ordered[-1]), np.float32(0))))
    return float((ordered[count - 1] + ordered[count]) / 2)
