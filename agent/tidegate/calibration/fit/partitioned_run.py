"""A network cut where gates and exits stand, each partition run by the engine itself: what they see there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from tidegate.calibration.candidate import candidate
from tidegate.calibration.data.batches import answer_on_all_cores
from tidegate.calibration.fit.histogram_observer import INPUT_NAME
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import Array
from tidegate.engines.plan.execution import Subgraph
from tidegate.models.graph import Segment
from tidegate.models.network import TrainedNetwork

_T = TypeVar("_T")


class PartitionedRun:
    """Samples on their way through an engine, all to the end; `here` marks those that no exit has taken."""

    def __init__(self, network: TrainedNetwork, inputs: Array, target: TargetEngine) -> None:
        self.here = np.ones(len(inputs), np.bool_)
        self._network = network
        self._target = target
        self._x = inputs
        self._boundary = INPUT_NAME
        self._waiting: list[Subgraph] = []

    def add(self, subgraph: Subgraph) -> None:
        """What the samples are to pass before anybody looks at them again."""
        self._waiting.append(subgraph)

    def values(self, setting: KnobSettings) -> Array:
        """The tensor behind all that was added, (samples, *shape). Raises UnsupportedPoint."""
        partition = [subgraph for subgraph in self._waiting if subgraph.graph is not None]
        if partition:
            self._x = self._run([subgraph.segment for subgraph in partition], setting)
            self._boundary = partition[-1].output_name
        self._waiting = []
        return self._x

    def answers(self, head: Segment, setting: KnobSettings) -> Array:
        """Those of an exit's head, (samples, outputs), where the samples are now. Raises UnsupportedPoint."""
        self.values(setting)
        return self._run([head], setting)

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
