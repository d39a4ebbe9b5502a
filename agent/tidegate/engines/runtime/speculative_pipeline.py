"""Samples taken through a plan's programs, with as few waits for the device as the gates' habits allow.

For libraries that compute apart from the process and are waited for when a value is asked for: MLX, torch on
Apple's GPU. A sample goes ahead as its gates and exits are expected to decide, and all its scores come with the
answer, in one wait. Where one decided otherwise, the sample goes on from there; what was computed beyond is lost.
Hence only sites that decided alike a few times in a row are expected to go on so, at all others the score is asked
for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from tidegate.engines.engine import Array
from tidegate.engines.runtime.pipeline_variant import PipelineResult
from tidegate.models.ladder import Activity

T = TypeVar("T")
"""A library's array. The first axis is the samples', always."""


class Library(Protocol[T]):
    """What computes: values of it are computed when they are waited for."""

    def given(self, batch: Array) -> T:
        """A batch (samples, *input shape) as the programs take it."""

    def sample(self, batch: T, index: int) -> T:
        """One sample of it, as a batch."""

    def score(self, activity: Activity, x: T, before: T | None) -> T:
        """(samples,); `before` is what activities that look back compare with."""

    def margin(self, answers: T) -> T:
        """Best minus second-best softmax probability, (samples, classes) to (samples,)."""

    def wait(self, answer: T | None, scores: Sequence[T]) -> tuple[Array | None, list[float]]:
        """An answer (samples, *output shape) and scores of one sample each, after one wait for all of them."""


HABIT = 4
"""Decisions alike in a row, after which a site is expected to decide so again."""


@dataclass(frozen=True, slots=True)
class Stage(Generic[T]):
    """What runs in the place of one segment.

    A sample whose margin by `head` exceeds `leave_above` leaves before it. Where its score exceeds `tau`, or there
    is no `tau`, `program` runs, else `stand_in`; None passes the value on. `head` is None where there is no exit.
    """

    program: Callable[[T], T] | None
    stand_in: Callable[[T], T] | None = None
    head: Callable[[T], T] | None = None
    leave_above: float = np.inf
    tau: float | None = None
    is_block: bool = False
    always_runs: bool = False


class _Site(NamedTuple):
    """An exit or a gate of a stage."""

    stage: int
    is_exit: bool


@dataclass(frozen=True, slots=True)
class _Position(Generic[T]):
    """A sample before a stage."""

    stage: int
    x: T
    before: T | None = None
    """The input of the block before."""
    executed: int = 0


@dataclass(frozen=True, slots=True)
class _Check(Generic[T]):
    """A decision ahead of its score, whether to leave or to run; `expected` is None where the way ends here.

    Without a score there is nothing to compare with, and a block runs.
    """

    site: _Site
    at: _Position[T]
    score: T | None
    limit: float
    expected: bool | None


@dataclass(frozen=True, slots=True)
class _Way(Generic[T]):
    """How far a sample went: to its answer, or None to a decision that its score must take; how many blocks ran up
    to there, and what has to hold for it."""

    answer: T | None
    executed: int
    checks: Sequence[_Check[T]]


@dataclass(slots=True)
class _Habit:
    decided: bool
    times: int = 1

    def add(self, decided: bool) -> None:
        self.decided, self.times = decided, self.times + 1 if decided == self.decided else 1


@dataclass(slots=True)
class SpeculativePipeline(Generic[T]):
    """A network's stages in a row. Gates that compare with the last frame remember it here."""

    stages: Sequence[Stage[T]]
    activity: Activity
    library: Library[T]
    weights_bytes: int
    _frames: dict[int, T] = field(default_factory=dict)
    _habits: dict[_Site, _Habit] = field(default_factory=dict)

    def run(self, batch: Array) -> PipelineResult:
        """Answer a batch (samples, *input shape), float32; at once where no sample goes its own way."""
        x = self.library.given(batch)
        if any(stage.tau is not None or stage.head is not None for stage in self.stages):
            each = [self._through(self.library.sample(x, index)) for index in range(len(batch))]
            return np.concatenate([outputs for outputs, _ in each]), sum(executed for _, executed in each)
        for stage in self.stages:
            x = x if stage.program is None else stage.program(x)
        answer, _ = self.library.wait(x, [])
        assert answer is not None  # noqa: S101 - one was asked for
        return answer, sum(stage.always_runs for stage in self.stages) * len(batch)

    def _through(self, x: T) -> PipelineResult:
        at = _Position(0, x)
        sure: dict[_Site, bool] = {}
        while True:
            way = self._ahead(at, sure)
            answer, scores = self.library.wait(
                way.answer, [check.score for check in way.checks if check.score is not None]
            )
            wrong = self._unexpected(way.checks, scores, sure)
            if wrong is not None:
                at = wrong.at
            elif answer is not None:
                return answer, way.executed

    def _unexpected(
        self, checks: Sequence[_Check[T]], scores: Sequence[float], sure: dict[_Site, bool]
    ) -> _Check[T] | None:
        """The first that decided otherwise, all before it learned."""
        known = iter(scores)
        for check in checks:
            decided = check.score is None or next(known) > check.limit
            if not self._confirmed(check, decided, sure):
                return check
        return None

    def _confirmed(self, check: _Check[T], decided: bool, sure: dict[_Site, bool]) -> bool:
        """Learn what a site decided; whether that was expected."""
        sure[check.site] = decided
        habit = self._habits.get(check.site)
        if habit is None:
            self._habits[check.site] = _Habit(decided)
        else:
            habit.add(decided)
        if not check.site.is_exit and self.activity is Activity.FRAME_CHANGE:
            self._frames[check.site.stage] = check.at.x
        return decided == check.expected

    def _ahead(self, at: _Position[T], sure: Mapping[_Site, bool]) -> _Way[T]:
        """As far from a position as can be gone without a score."""
        checks: list[_Check[T]] = []
        for index in range(at.stage, len(self.stages)):
            stage = self.stages[index]
            at = replace(at, stage=index)
            leaves = self._leaves(stage, at, sure, checks)
            if leaves is None:
                return _Way(None, at.executed, checks)
            if leaves is not False:
                return _Way(leaves, at.executed, checks)
            runs = self._runs(stage, at, sure, checks)
            if runs is None:
                return _Way(None, at.executed, checks)
            at = self._behind(stage, at, runs=runs)
        return _Way(at.x, at.executed, checks)

    def _leaves(
        self, stage: Stage[T], at: _Position[T], sure: Mapping[_Site, bool], checks: list[_Check[T]]
    ) -> T | Literal[False] | None:
        """The answer with which the sample leaves before the stage; False: it stays, None: its margin must say."""
        site = _Site(at.stage, is_exit=True)
        leaves = sure.get(site, None if stage.head is not None else False)
        if leaves is False or stage.head is None:
            return False
        answer = stage.head(at.x)
        if leaves is None:
            leaves = self._expected(site)
            checks.append(_Check(site, at, self.library.margin(answer), stage.leave_above, leaves))
        return answer if leaves else leaves

    def _runs(
        self, stage: Stage[T], at: _Position[T], sure: Mapping[_Site, bool], checks: list[_Check[T]]
    ) -> bool | None:
        """Whether the stage's own program runs and not its stand-in; None: the score must say."""
        if stage.tau is None:
            return True
        site = _Site(at.stage, is_exit=False)
        runs = sure.get(site)
        if runs is None:
            found = self._score(at)
            runs = True if found is None else self._expected(site)
            checks.append(_Check(site, at, found, stage.tau, runs))
        return runs

    @staticmethod
    def _behind(stage: Stage[T], at: _Position[T], *, runs: bool) -> _Position[T]:
        chosen = stage.program if runs else stage.stand_in
        executed = at.executed + (runs if stage.tau is not None else stage.always_runs)
        before = at.x if stage.is_block else at.before
        return _Position(at.stage + 1, at.x if chosen is None else chosen(at.x), before, executed)

    def _expected(self, site: _Site) -> bool | None:
        habit = self._habits.get(site)
        return habit.decided if habit is not None and habit.times >= HABIT else None

    def _score(self, at: _Position[T]) -> T | None:
        """None where there is nothing yet to compare with."""
        if not self.activity.looks_back:
            return self.library.score(self.activity, at.x, None)
        before = self._frames.get(at.stage) if self.activity is Activity.FRAME_CHANGE else at.before
        return None if before is None else self.library.score(self.activity, at.x, before)
