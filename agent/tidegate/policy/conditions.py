"""Conditions on a snapshot: whether they hold; missing readings make a third truth value."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime

from tidegate.policy.decision import ControlState
from tidegate.policy.policy import (
    AllOf,
    AnyOf,
    Assumption,
    Condition,
    Equals,
    Leaf,
    Level,
    Not,
    Policy,
    Side,
    Threshold,
    Window,
)
from tidegate.policy.samples import believed, taken
from tidegate_drivers.reading import Snapshot, Value

Truth = bool | None
"""Whether a condition holds; None when a reading it needs is missing and on_missing says `ignore`."""

SETTLED_S = 30.0
"""How long a lost reading must be back before what was assumed of it is dropped: a sensor that comes and goes
would otherwise send an urgent rule up and down with it."""
LOST = "?"

_EXTREMES: Mapping[Assumption, int] = {
    Assumption.LOW: -1,
    Assumption.COOL: -1,
    Assumption.HIGH: 1,
    Assumption.HOT: 1,
}


_LEAVES = frozenset({Threshold, Level, Equals})


class Evaluation:
    """One pass over a policy's conditions: what holds now, and what to remember for the next pass.

    Every condition of every rule is evaluated: leave values are watched also where a rule is not in force. A
    condition that holds through its on_missing assumption is not remembered as entered: when the reading comes
    back between the leave and the enter value, the last real crossing counts.
    """

    def __init__(self, policy: Policy, snapshot: Snapshot, before: ControlState, now: datetime) -> None:
        self.snapshot = snapshot
        self.on_missing = policy.on_missing
        self.before = before
        self.moment = now if policy.time_zone is None else now.astimezone(policy.time_zone)
        self.holding: set[str] = set()
        self.since: dict[str, float] = {}
        self.truths: dict[str, Truth] = {}
        self.samples = taken(before.samples, snapshot, policy.watched) if policy.watched else before.samples
        self.unconfirmed: set[str] = set()
        self._doubted = policy.doubted
        self._thresholds(policy)
        self._others(policy)

    def truth(self, condition: Condition) -> Truth:
        """Whether a condition holds, in Kleene's logic: unknown stays unknown unless it can't matter."""
        kind = type(condition)
        if kind is AnyOf or kind is AllOf:
            return self._several(condition.conditions, kind is AnyOf)  # type: ignore[union-attr]  # by kind
        if isinstance(condition, Not):
            inner = self.truth(condition.condition)
            return None if inner is None else not inner
        if isinstance(condition, Window):
            return condition.between.holds(self.moment)
        return self.truths[condition.path]  # type: ignore[union-attr]  # any and all are dealt with above

    def _several(self, parts: tuple[Condition, ...], decisive: bool) -> Truth:
        found: Truth = not decisive
        truths = self.truths
        for part in parts:
            kind = type(part)
            if kind in _LEAVES:
                truth = truths[part.path]  # type: ignore[union-attr]  # by kind
            elif kind is AnyOf or kind is AllOf:
                truth = self._several(part.conditions, kind is AnyOf)  # type: ignore[union-attr]  # by kind
            else:
                truth = self.truth(part)
            if truth is decisive:
                return decisive
            if truth is None:
                found = None
        return found

    def assumption(self, reading: str) -> Assumption:
        """What a reading counts as while it is missing; one zone or input like all of its kind."""
        return self.on_missing.get(reading.partition("/")[0], Assumption.IGNORE)

    def waiting_s(self, leaf: Leaf) -> float | None:
        """How much longer a condition must be true before its `for:` lets it begin; None when it does not wait."""
        since = self.since.get(leaf.path)
        if since is None or self.truths[leaf.path] or not isinstance(leaf, Threshold):
            return None
        return leaf.for_s - (self.snapshot.at - since)

    def settling_s(self, leaf: Leaf) -> float | None:
        """How much longer an assumption is kept after its reading came back; None when none is kept."""
        lost = self.since.get(leaf.path + LOST)
        return None if lost is None or lost == self.snapshot.at else SETTLED_S - (self.snapshot.at - lost)

    def _thresholds(self, policy: Policy) -> None:
        # The one loop that runs for each condition of each decision; what is usual takes no call.
        values = {reading: number(self.snapshot, reading) for reading in policy.readings}
        held, since, truths, doubted = self.before.holding, self.before.since, self.truths, self._doubted
        for leaf, path, reading, above, enter, leave in policy.thresholds:
            value = values[reading]
            if value is None:
                truths[path] = self._missing(leaf)
                continue
            stays = path in held and (value > leave if above else value < leave)
            if stays or (
                (value > enter if above else value < enter)
                and self._lasting(leaf)
                and (not doubted or self._begins(leaf))
            ):
                self.holding.add(path)
                truths[path] = True
            else:
                truths[path] = bool(since) and self._unsettled(path)
        if doubted:
            self._keep_unended(policy, values)

    def _keep_unended(self, policy: Policy, values: Mapping[str, float | None]) -> None:
        """Let conditions with whose end an urgent rule begins hold on until their end is believed."""
        for leaf, path, reading, *_ in policy.thresholds:
            ended = path in self.before.holding and self.truths[path] is False and values[reading] is not None
            if ended and not self._ends(leaf):
                self.holding.add(path)
                self.truths[path] = True

    def _others(self, policy: Policy) -> None:
        words = {reading: self.snapshot.word(reading) for reading in policy.readings}
        for leaf in policy.others:
            if isinstance(leaf, Level):
                self.truths[leaf.path] = self._level(leaf)
            else:
                word = words[leaf.reading]
                if word is None:
                    self.truths[leaf.path] = self._assumed_word(leaf)
                else:
                    self.truths[leaf.path] = self._word(leaf, word) if self._doubted else word == leaf.word

    def _missing(self, leaf: Threshold | Level) -> Truth:
        if leaf.path in self.before.holding:
            self.holding.add(leaf.path)
        extreme = _EXTREMES.get(self.assumption(leaf.reading))
        if extreme is None:
            return None
        towards = 1 if isinstance(leaf, Level) or leaf.side is Side.ABOVE else -1
        holds = extreme == towards and (isinstance(leaf, Level) or self._lasting(leaf))
        if holds:
            self.since[leaf.path + LOST] = self.snapshot.at
        return holds

    def _begins(self, leaf: Leaf) -> bool:
        """Whether a condition whose reading is past its enter value begins now: an urgent rule's when believed."""
        if self._doubted.get(leaf.path) is not True or leaf.path in self.before.holding:
            return True
        return self._confirmed(leaf, _entering(leaf))

    def _ends(self, leaf: Leaf) -> bool:
        """Whether a condition at its leave value ends now: an urgent rule that begins with it when believed."""
        if self._doubted.get(leaf.path) is not False:
            return True
        return self._confirmed(leaf, _leaving(leaf))

    def _confirmed(self, leaf: Leaf, beyond: Callable[[Value], bool]) -> bool:
        if believed(leaf.reading, self.samples[leaf.reading], beyond):
            return True
        self.unconfirmed.add(leaf.path)
        return False

    def _word(self, leaf: Equals, word: str) -> bool:
        holds = word == leaf.word
        begins = self._doubted.get(leaf.path)
        if begins is not holds or self._confirmed(leaf, lambda other: (other == leaf.word) is holds):
            return holds
        return not holds

    def _unsettled(self, path: str) -> bool:
        """Whether a condition that does not hold by its reading still holds by what was assumed without it."""
        lost = self.before.since.get(path + LOST)
        if lost is None or not 0 <= self.snapshot.at - lost < SETTLED_S:
            return False
        self.since[path + LOST] = lost
        return True

    def _lasting(self, leaf: Threshold) -> bool:
        if not leaf.for_s:
            return True
        now = self.snapshot.at
        # A start in the future is from before a restart of the clock; waiting begins anew.
        since = min(self.before.since.get(leaf.path, now), now)
        self.since[leaf.path] = since
        return now - since >= leaf.for_s

    def _level(self, leaf: Level) -> Truth:
        rank = rank_of(leaf, self.snapshot)
        if rank is None:
            return self._missing(leaf)
        held = leaf.path in self.before.holding
        entered = (
            (rank >= leaf.scale.index(leaf.enter) and self._begins(leaf))
            or (held and rank > leaf.scale.index(leaf.leave))
            or (held and not self._ends(leaf))
        )
        if entered:
            self.holding.add(leaf.path)
        return entered or self._unsettled(leaf.path)

    def _assumed_word(self, leaf: Equals) -> Truth:
        assumption = self.assumption(leaf.reading)
        return None if assumption is Assumption.IGNORE else assumption.value == f"assume_{leaf.word}"


def number(snapshot: Snapshot, reading: str) -> float | None:
    """A fresh finite number, else None: neither NaN nor infinity is a number that was measured."""
    value = snapshot.number(reading)
    return value if value is not None and math.isfinite(value) else None


def rank_of(leaf: Level, snapshot: Snapshot) -> int | None:
    """Where the reading stands on the scale; None when it is missing or no word of it."""
    word = snapshot.word(leaf.reading)
    return leaf.scale.index(word) if word in leaf.scale else None


def _entering(leaf: Leaf) -> Callable[[Value], bool]:
    """Whether a value is past the enter value."""
    match leaf:
        case Threshold(side=side, enter=enter):
            return lambda value: (
                isinstance(value, float) and (value > enter if side is Side.ABOVE else value < enter)
            )
        case Level(scale=scale, enter=word):
            return lambda value: value in scale[scale.index(word) :]
        case Equals(word=word):
            return lambda value: value == word


def _leaving(leaf: Leaf) -> Callable[[Value], bool]:
    """Whether a value is at the leave value or past it."""
    match leaf:
        case Threshold(side=side, leave=leave):
            return lambda value: (
                isinstance(value, float) and (value <= leave if side is Side.ABOVE else value >= leave)
            )
        case Level(scale=scale, leave=word):
            return lambda value: value in scale[: scale.index(word) + 1]
        case Equals(word=word):
            return lambda value: value != word
