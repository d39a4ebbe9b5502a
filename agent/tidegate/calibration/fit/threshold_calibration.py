"""Thresholds of gates and exits for the engine that will hold values against them.

The search sets them on eager's values. Rounded activations move scores and margins, so that at the same
thresholds more samples would stop, or fewer. Here each threshold is set anew on part S so that as many samples
stop at it as in eager. The network is cut at its gates, and each partition is run by the engine itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.fit.partitioned_run import PartitionedRun
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.plan.execution import Subgraph, plan_execution
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import score_of
from tidegate.models.gates.margin import margin
from tidegate.models.ladder import Activity
from tidegate.models.network import TrainedNetwork

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
    run = PartitionedRun(network, inputs, _AS_REFERENCE)
    going_on, leaving = dict[str, int](), dict[str, int]()
    for subgraph in plan_execution(network, setting) if _is_calibrated(setting) else ():
        name = subgraph.name
        if name in setting.exits:
            margins = _margins(run, network, subgraph, setting)
            leaving[name] = int((margins[run.here] > setting.exits[name]).sum())
            run.here &= margins <= setting.exits[name]
        if name in setting.thresholds and setting.activity not in _LOOKS_BACK:
            going_on[name] = int((_scores(run, setting) > setting.thresholds[name]).sum())
        run.add(subgraph)
    return Stops(going_on, leaving)


def with_calibrated_thresholds(
    network: TrainedNetwork, setting: KnobSettings, inputs: Array, target: TargetEngine, stops: Stops
) -> KnobSettings:
    """The setting with thresholds by which as many of the inputs stop on the engine as do on the reference.

    Thresholds on activities that look back, and those of resized images, stay as they are. Raises UnsupportedPoint
    for what the engine can't run.
    """
    run = PartitionedRun(network, inputs, target)
    found = setting
    for subgraph in plan_execution(network, setting) if _is_calibrated(setting) else ():
        name = subgraph.name
        if name in stops.leaving:
            margins = _margins(run, network, subgraph, found)
            exit_at = _exceeded_by(margins[run.here], stops.leaving[name], setting.exits[name])
            found = replace(found, exits={**found.exits, name: exit_at})
            run.here &= margins <= exit_at
        if name in stops.going_on:
            tau = _exceeded_by(_scores(run, found), stops.going_on[name], setting.thresholds[name])
            found = replace(found, thresholds={**found.thresholds, name: tau})
        run.add(subgraph)
    return found


def _is_calibrated(setting: KnobSettings) -> bool:
    return bool(setting.exits or setting.thresholds) and setting.resolution is None


def _margins(run: PartitionedRun, network: TrainedNetwork, block: Subgraph, setting: KnobSettings) -> Values:
    """Top-1 minus top-2 probability of all samples, (samples,), at the exit before a block."""
    answers = run.answers(network.exit_heads[block.name], setting)
    values: Values = margin(torch.from_numpy(answers)).numpy()
    return values


def _scores(run: PartitionedRun, setting: KnobSettings) -> Values:
    """Activities, at the gate of the segment to come, of the samples still here."""
    x = run.values(setting)[run.here]
    values: Values = score_of(setting.activity)(GateInput(torch.from_numpy(x))).numpy()
    return values


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
