"""What exits answer on the engine that will run them: its rounded activations move margins, and change answers."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.calibration.fit.exit_heads import FittedExits
from tidegate.calibration.fit.partitioned_run import PartitionedRun
from tidegate.calibration.fit.ridge import Rows
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import Array
from tidegate.engines.plan.execution import plan_execution


@dataclass(frozen=True, slots=True)
class ExitAnswers:
    """Answers (n, outputs) by samples of S, each by a head that has not seen the sample: of exits by block, in the
    order in which samples pass them, and of the network's `end`."""

    exits: Mapping[str, Rows]
    end: Rows


def exit_answers(exits: FittedExits, setting: KnobSettings, inputs: Array, target: TargetEngine) -> ExitAnswers:
    """Of all samples that exits were fitted on, at a setting without exits. Raises UnsupportedPoint."""
    run = PartitionedRun(exits.network, inputs, target)
    answers = {}
    for subgraph in plan_execution(exits.network, setting):
        if subgraph.name in exits.heads:
            answers[subgraph.name] = exits.heads[subgraph.name].answers(run.values(setting))
        run.add(subgraph)
    return ExitAnswers(answers, run.values(setting))
