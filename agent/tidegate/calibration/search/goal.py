"""What a user wants of a ladder: what to aim for, which knobs may be turned, and how far at least."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.ladder import Figures, Ladder, OperatingPoint


class Goal(StrEnum):
    """What a search saves first: `--aim` of `bundle build`."""

    BALANCED = "balanced"
    MEMORY = "memory"
    LATENCY = "latency"
    ENERGY = "energy"


class Knob(StrEnum):
    """A kind of knob that a search may turn: `--with` and `--without` of `bundle build`."""

    BLOCKS = "blocks"
    EXITS = "exits"
    INT8 = "int8"
    INT4 = "int4"
    ACTIVATIONS = "activations"
    RESOLUTION = "resolution"
    THREADS = "threads"


FAST = frozenset({Knob.BLOCKS, Knob.EXITS, Knob.INT8})
"""What saves time on some engine and costs none on the others that is worth naming."""

DEFAULT_KNOBS: Mapping[Goal, frozenset[Knob]] = {
    Goal.BALANCED: FAST | {Knob.RESOLUTION},
    # int4 weights are unpacked for every call, and AA-ReLU rounds on top of the dense kernels: both buy bytes
    # with time.
    Goal.MEMORY: FAST | {Knob.INT4, Knob.ACTIVATIONS},
    Goal.LATENCY: FAST | {Knob.RESOLUTION, Knob.THREADS},
    # A second thread finishes sooner and takes more energy for it, so that threads stay at one here.
    Goal.ENERGY: FAST | {Knob.RESOLUTION},
}
"""Which knobs a goal turns unless it is told otherwise."""

OPERATIONS_SHARE: Mapping[Goal, float] = {
    Goal.BALANCED: 0.5,
    Goal.MEMORY: 0.0,
    Goal.LATENCY: 0.8,
    Goal.ENERGY: 0.8,
}
"""How much operations count against bytes while a chain is sought. Time and energy are not all operations: bytes
of weights have to come from memory, too."""


class GoalError(TidegateError, ValueError):
    """A goal or target that contradicts itself or can't be measured here; the message says what to change."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to come down to: `limit` in the goal's unit (bytes, ms, mJ), or `share` less than full."""

    goal: Goal
    limit: float | None = None
    share: float | None = None

    def __str__(self) -> str:
        if self.share is not None:
            return f"{self.share:.0%} less {_NAMES[self.goal]} than the full point"
        return f"{_NAMES[self.goal]} of {_shown(self.goal, self.limit or 0.0)} or less"

    def limit_from(self, full: float) -> float:
        """The limit in the goal's unit, given the full point's figure."""
        return full * (1 - self.share) if self.share is not None else float(self.limit or 0.0)


def figure_of(goal: Goal, figures: Figures) -> float | None:
    """The goal's figure of a point: bytes, milliseconds or millijoules; None where it was not measured."""
    if goal is Goal.LATENCY:
        return figures.latency_p50_ms
    if goal is Goal.ENERGY:
        return figures.energy_mj
    live = figures.peak_live_encoded_bytes
    return None if live is None else figures.weights_resident_bytes + live


def target_outcome(target: Target, ladder: Ladder) -> str:
    """Which point meets the target at which certified loss, or that it is infeasible and which comes nearest."""
    full = figure_of(target.goal, ladder.full.figures)
    measured = [
        (figure, point)
        for point in ladder.points
        if point.certificate is not None and (figure := figure_of(target.goal, point.figures)) is not None
    ]
    if full is None or not measured:
        return f"target {target}: not measurable here, {target.goal} was not measured"
    limit = target.limit_from(full)
    for figure, point in measured:
        if figure <= limit:
            return f"target {target}: met by {point.name}, {_described(target.goal, figure, full, point)}"
    figure, point = min(measured, key=lambda pair: pair[0])
    return (
        f"target {target}: infeasible; the nearest is {point.name}, {_described(target.goal, figure, full, point)}"
    )


_NAMES = {
    Goal.BALANCED: "weights and activations",
    Goal.MEMORY: "weights and activations",
    Goal.LATENCY: "latency",
    Goal.ENERGY: "energy",
}


def _described(goal: Goal, figure: float, full: float, point: OperatingPoint) -> str:
    loss = 0.0 if point.certificate is None else point.certificate.alpha
    saved = 1 - figure / full if full else 0.0
    return f"{_shown(goal, figure)} ({saved:.0%} less than full), certified loss {loss:.1%}"


def _shown(goal: Goal, figure: float) -> str:
    if goal is Goal.LATENCY:
        return f"{figure:.3g} ms"
    if goal is Goal.ENERGY:
        return f"{figure:.3g} mJ"
    return f"{figure / 2**20:.3g} MiB"
