"""Taking samples through everything that a plan can run, for those who watch: to the end, whoever might leave."""

from collections.abc import Callable
from typing import TypeVar

from tidegate.engines.plan.execution import ExecutionPlan, Subgraph
from tidegate.models.graph import Segment

T = TypeVar("T")

Run = Callable[[Segment, T], T]
"""Takes what stands before a graph through it."""
Gate = Callable[[Subgraph, T, T | None], T]
"""Takes what stands before a gated subgraph through it or by it; beside it what stood before the last block."""


def walk(plan: ExecutionPlan, entering: T, run: Run[T], gate: Gate[T]) -> T:
    """What comes out at the end. Exits' heads run too, and what they give goes nowhere."""
    here = entering
    previous: T | None = None
    for subgraph in plan:
        before = here
        if subgraph.exit_head is not None:
            run(subgraph.exit_head, here)
        if subgraph.gated:
            here = gate(subgraph, here, previous)
        elif subgraph.graph is not None:
            here = run(subgraph.graph, here)
        previous = before if subgraph.is_block else previous
    return here
