"""An execution plan cut into stages, between which exits and gates decide. Pure.

For runtimes in which a condition inside a model costs more than a cut: LiteRT's `IF` takes what is inside it
away from XNNPACK, and where Core ML places its `cond` is stated nowhere. So a network is cut where samples may
leave and where a gate decides; the decision is a compare between two models, and a skipped block costs nothing.
"""

from dataclasses import dataclass

from tidegate.engines.plan.execution import ExecutionPlan, Subgraph
from tidegate.models.graph import Segment
from tidegate.models.network import Shape


@dataclass(frozen=True, slots=True)
class Run:
    """A subgraph and the one of its graphs that runs: the block's own, a stand-in, or None: the input goes on."""

    subgraph: Subgraph
    graph: Segment | None


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs in a row, then what decides: the exit before `leaving`'s block, the gate of `gated`.

    `into` and `shape` are the name and the shape of what comes in. The first stage `enters`: its input is the
    network's, as it came. The last one `answers`.
    """

    runs: tuple[Run, ...]
    into: str
    shape: Shape
    leaving: Subgraph | None = None
    gated: Subgraph | None = None
    enters: bool = False
    answers: bool = False


def stages_of(plan: ExecutionPlan) -> tuple[Stage, ...]:
    """The plan cut before every exit and gate."""
    stages: list[Stage] = []
    runs: list[Run] = []
    into, shape = "", plan[0].shape
    for subgraph in plan:
        if subgraph.exit_head is not None or subgraph.gated:
            leaving = subgraph if subgraph.exit_head is not None else None
            gated = subgraph if subgraph.gated else None
            stages.append(Stage(tuple(runs), into, shape, leaving, gated, enters=not stages))
            runs = []
            into, shape = subgraph.input_name, subgraph.shape
        if subgraph.gated:
            into, shape = subgraph.output_name, subgraph.output_shape
        else:
            runs.append(Run(subgraph, subgraph.graph))
    return (*stages, Stage(tuple(runs), into, shape, enters=not stages, answers=True))


def branch(subgraph: Subgraph, graph: Segment) -> Stage:
    """One of what a gate chooses from."""
    return Stage((Run(subgraph, graph),), subgraph.input_name, subgraph.shape)
