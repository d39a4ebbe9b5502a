"""Conditions on a snapshot: whether they hold, and in words why; missing readings make a third truth value."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.policy.decision import ControlState
from agent.policy.policy import (
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
)
from drivers.reading import UNITS, Freshness, Snapshot, Unit

Truth = bool | None
"""Whether a condition holds; None when a reading it needs is missing and on_missing says `ignore`."""

_MEBIBYTE = 1 << 20


@dataclass(slots=True)
class Evaluation:
    """One pass over a policy's conditions: what holds now, and what to remember for the next pass.

    A condition that holds through its on_missing assumption is not remembered as entered: when the reading
    comes back between the leave and the enter value, the last real crossing counts.
    """

    snapshot: Snapshot
    on_missing: Mapping[str, Assumption]
    before: ControlState
    truths: dict[str, Truth] = field(default_factory=dict)
    holding: set[str] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, policy: Policy, snapshot: Snapshot, before: ControlState) -> "Evaluation":
        """Evaluate every condition of every rule: leave values are watched also where a rule is not in force."""
        evaluation = cls(snapshot, policy.on_missing, before)
        for leaf in policy.leaves:
            evaluation.truths[leaf.path] = evaluation._leaf(leaf)
        return evaluation

    def truth(self, condition: Condition) -> Truth:
        """Whether a condition holds, in Kleene's logic: unknown stays unknown unless it can't matter."""
        match condition:
            case AnyOf(parts):
                truths = [self.truth(part) for part in parts]
                return True if True in truths else None if None in truths else False
            case AllOf(parts):
                truths = [self.truth(part) for part in parts]
                return False if False in truths else None if None in truths else True
            case Not(part):
                inner = self.truth(part)
                return None if inner is None else not inner
            case _:
                return self.truths[condition.path]

    def _leaf(self, leaf: Leaf) -> Truth:
        match leaf:
            case Threshold():
                return self._threshold(leaf)
            case Level():
                return self._level(leaf)
            case Equals():
                word = self.snapshot.word(leaf.reading)
                return word == leaf.word if word is not None else self._assumed_word(leaf)

    def _threshold(self, leaf: Threshold) -> Truth:
        sign = 1 if leaf.side is Side.ABOVE else -1
        value = number(self.snapshot, leaf.reading)
        held = leaf.path in self.before.holding
        if value is None:
            if held:
                self.holding.add(leaf.path)
            extreme = _EXTREMES.get(self.on_missing.get(leaf.reading, Assumption.IGNORE))
            return None if extreme is None else self._lasting(leaf, extreme * sign > 0)
        if held and sign * value > sign * leaf.leave:
            self.holding.add(leaf.path)
            return True
        entered = self._lasting(leaf, sign * value > sign * leaf.enter)
        if entered:
            self.holding.add(leaf.path)
        return entered

    def _lasting(self, leaf: Threshold, beyond: bool) -> bool:
        if not beyond or not leaf.for_s:
            return beyond
        now = self.snapshot.at
        # A start in the future is from before a restart of the clock; waiting begins anew.
        since = min(self.before.since.get(leaf.path, now), now)
        self.since[leaf.path] = since
        return now - since >= leaf.for_s

    def _level(self, leaf: Level) -> Truth:
        rank = _rank(leaf, self.snapshot)
        held = leaf.path in self.before.holding
        if rank is None:
            if held:
                self.holding.add(leaf.path)
            extreme = _EXTREMES.get(self.on_missing.get(leaf.reading, Assumption.IGNORE))
            return None if extreme is None else extreme > 0
        entered = rank >= leaf.scale.index(leaf.enter) or (held and rank > leaf.scale.index(leaf.leave))
        if entered:
            self.holding.add(leaf.path)
        return entered

    def _assumed_word(self, leaf: Equals) -> Truth:
        assumption = self.on_missing.get(leaf.reading, Assumption.IGNORE)
        return None if assumption is Assumption.IGNORE else assumption.value == f"assume_{leaf.word}"

    def because(self, condition: Condition, truth: bool = True) -> str:
        """Why a condition has this truth value, as a clause: `battery 18 % is below 20 % on battery power`."""
        match condition:
            case Not(part):
                return self.because(part, not truth)
            case AnyOf(parts) | AllOf(parts):
                clauses = [self.because(part, truth) for part in parts if self.truth(part) is truth]
                return _joined(clauses)
            case Threshold():
                return self._threshold_clause(condition, truth)
            case Level():
                return self._level_clause(condition, truth)
            case Equals():
                return self._word_clause(condition)

    def _threshold_clause(self, leaf: Threshold, truth: bool) -> str:
        value = number(self.snapshot, leaf.reading)
        if value is None:
            return self.missing(leaf.reading)
        is_now = f"{_name(leaf.reading)} {amount(value, leaf.reading)}"
        enter, leave = amount(leaf.enter, leaf.reading), amount(leaf.leave, leaf.reading)
        beyond = value > leaf.enter if leaf.side is Side.ABOVE else value < leaf.enter
        if truth and not beyond:
            moved = "rose above" if leaf.side is Side.ABOVE else "fell below"
            return f"{is_now} {moved} {enter} and is not back at {leave} yet"
        if not truth and beyond:
            return f"{is_now} is {leaf.side} {enter} but not for {leaf.for_s:g} s yet"
        lasting = f" for {leaf.for_s:g} s" if truth and leaf.for_s else ""
        return f"{is_now} is {'' if truth else 'not '}{leaf.side} {enter}{lasting}"

    def _level_clause(self, leaf: Level, truth: bool) -> str:
        rank = _rank(leaf, self.snapshot)
        if rank is None:
            return self.missing(leaf.reading)
        is_now = f"{_name(leaf.reading)} is {leaf.scale[rank]}"
        if not truth:
            return f"{is_now}, below {leaf.enter}"
        if rank < leaf.scale.index(leaf.enter):
            return f"{is_now}, was {leaf.enter} or worse and is not back at {leaf.leave} yet"
        return is_now if leaf.scale[rank] == leaf.enter else f"{is_now}, worse than {leaf.enter}"

    def _word_clause(self, leaf: Equals) -> str:
        word = self.snapshot.word(leaf.reading)
        return self.missing(leaf.reading) if word is None else f"on {word} power"

    def missing(self, reading: str) -> str:
        """How a missing reading is put: `temperature is stale, assumed hot`."""
        state = "stale" if self.snapshot.freshness(reading) is Freshness.STALE else "unavailable"
        assumption = self.on_missing.get(reading, Assumption.IGNORE)
        answer = "ignored" if assumption is Assumption.IGNORE else assumption.value.replace("assume_", "assumed ")
        return f"{_name(reading)} is {state}, {answer}"


_EXTREMES: Mapping[Assumption, int] = {
    Assumption.LOW: -1,
    Assumption.COOL: -1,
    Assumption.HIGH: 1,
    Assumption.HOT: 1,
}


def number(snapshot: Snapshot, reading: str) -> float | None:
    """A fresh number, else None; a driver's NaN is no number."""
    value = snapshot.number(reading)
    return None if value is None or math.isnan(value) else value


def amount(value: float, reading: str) -> str:
    """A value with its unit, for sentences."""
    unit = UNITS.get(reading, Unit.NAME)
    if unit is Unit.BYTE:
        return f"{value / _MEBIBYTE:.4g} MiB"
    return f"{value:.4g} {unit}".rstrip()


def _rank(leaf: Level, snapshot: Snapshot) -> int | None:
    word = snapshot.word(leaf.reading)
    return leaf.scale.index(word) if word in leaf.scale else None


def _name(reading: str) -> str:
    return reading.replace("_", " ")


def _joined(clauses: list[str]) -> str:
    unique = list(dict.fromkeys(clauses))
    facts = [clause for clause in unique if not clause.startswith("on ")]
    powers = [clause for clause in unique if clause.startswith("on ")]
    return " ".join([" and ".join(facts), *powers]).strip()
