"""When a rollout is halted: limits on how its devices may fare. Pure.

Three kinds: how many devices `refused`, were `rolled_back`, are `silent` or have `demoted` a point; whether
answers are `worse` than certificates allow, over all devices together; and what devices measure, against a bound
or against the same device before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.fleet.rollout.measured import MEASURES, Measure, Seen
from tidegate.fleet.rollout.pooled_test import pooled
from tidegate.telemetry.payloads.reported import ComparedPoint

COUNTED = ("refused", "rolled_back", "demoted", "silent")
DEFAULT = "refused > 0, rolled_back > 0, demoted > 20 %, silent > 20 %, worse > 1 %"
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Fared:
    """How the `devices` that are there have fared so far.

    `counted` names devices by what is counted of them, each with its reason. `compared` is what shadow runs showed
    of all of them, `measured` what each measured since it took what is rolled out, and `before` what the measures
    of each were before, by name.
    """

    devices: int
    counted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    compared: tuple[ComparedPoint, ...] = ()
    measured: Mapping[str, Seen] = field(default_factory=dict)
    before: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CountLimit:
    """More than `most` devices, or that share of them in percent, halt the rollout."""

    counted: str
    most: float
    percent: bool

    def reason(self, fared: Fared) -> str | None:
        """Why it halts the rollout; None where it does not."""
        named = fared.counted.get(self.counted, {})
        allowed = self.most * fared.devices / 100 if self.percent else self.most
        if len(named) <= allowed:
            return None
        return f"{len(named)} of {fared.devices} {self.counted} ({self.text}): {_first(named)}"

    def unknown(self, _fared: Fared) -> str:
        """Nothing: what is not said is counted as silent."""
        return ""

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.counted} > {self.most:g}{' %' if self.percent else ''}"


@dataclass(frozen=True, slots=True)
class WorseLimit:
    """Points that disagree with the full model more than certificates allow; `margin` more is found for sure."""

    margin: float

    def reason(self, fared: Fared) -> str | None:
        """Why it halts the rollout; None where it does not."""
        test = pooled(fared.compared, self.margin)
        return f"worse than certified: {test.in_words}" if test.outcome == "worse" else None

    def unknown(self, fared: Fared) -> str:
        """What keeps the test from an answer; empty where it has one."""
        test = pooled(fared.compared, self.margin)
        if not test.seen:
            return (
                f"{self.text}: no answer was compared with the full model; that takes a `drift_guard` in the "
                "policy, requests, and a point below `full` in use"
            )
        return f"{self.text}: undecided, {test.in_words}" if test.outcome == "undecided" else ""

    @property
    def text(self) -> str:
        """As it is written."""
        return f"worse > {self.margin * 100:g} %"


@dataclass(frozen=True, slots=True)
class MeasureLimit:
    """More than `devices_percent` of the devices (0: any) measure more than `bound`, in the measure's base unit.

    With `over_before` the bound is so many times what the same device measured before the push.
    """

    measure: Measure
    written: str
    bound: float | None = None
    over_before: float | None = None
    devices_percent: float = 0.0

    def reason(self, fared: Fared) -> str | None:
        """Why it halts the rollout; None where it does not."""
        beyond = {}
        for name, seen in fared.measured.items():
            value, bound = self.measure.value(seen), self._bound(fared, name)
            if value is not None and bound is not None and value > bound:
                was = "" if self.over_before is None else f", {self._was(fared, name)} before"
                beyond[name] = f"{self.measure.shown(value)}{was}"
        if len(beyond) <= self.devices_percent * fared.devices / 100:
            return None
        return f"{len(beyond)} of {fared.devices} devices have {self.text}: {_first(beyond)}"

    def unknown(self, fared: Fared) -> str:
        """Of which devices it is not known; empty where it is known of all."""
        unknown = [
            name
            for name, seen in fared.measured.items()
            if self.measure.value(seen) is None or self._bound(fared, name) is None
        ]
        if not unknown:
            return ""
        named = ", ".join(unknown[:_NAMED]) + (" and others" if len(unknown) > _NAMED else "")
        return f"{self.text}: not known of {len(unknown)} of {len(fared.measured)} devices: {named}"

    @property
    def text(self) -> str:
        """As it is written."""
        return self.written

    def _bound(self, fared: Fared, device: str) -> float | None:
        if self.over_before is None:
            return self.bound
        before = fared.before.get(device, {}).get(self.measure.name)
        return None if before is None else before * self.over_before

    def _was(self, fared: Fared, device: str) -> str:
        return self.measure.shown(fared.before[device][self.measure.name])


Limit = CountLimit | WorseLimit | MeasureLimit
Rule = tuple[Limit, ...]


def reason_to_halt(rule: Rule, fared: Fared) -> str | None:
    """Why a rollout is halted whose devices fared like this; None where it goes on."""
    return next((reason for limit in rule if (reason := limit.reason(fared)) is not None), None)


def unknowns(rule: Rule, fared: Fared) -> tuple[str, ...]:
    """What of the rule can't be judged, each with the reason."""
    return tuple(unknown for limit in rule if (unknown := limit.unknown(fared)))


def findings(rule: Rule, fared: Fared) -> tuple[str, ...]:
    """What the comparison of answers has come to, where it has."""
    tests = [pooled(fared.compared, limit.margin) for limit in rule if isinstance(limit, WorseLimit)]
    return tuple(f"kept to its certificates: {test.in_words}" for test in tests if test.outcome == "kept")


def undecided(rule: Rule, fared: Fared) -> bool:
    """Whether answers are compared, and not enough of them yet."""
    margins = [limit.margin for limit in rule if isinstance(limit, WorseLimit)]
    return any(pooled(fared.compared, margin).outcome == "undecided" for margin in margins if fared.compared)


def held_against_before(rule: Rule) -> tuple[Measure, ...]:
    """The measures whose limits are about the same device before the push."""
    limits = [limit for limit in rule if isinstance(limit, MeasureLimit)]
    return tuple(limit.measure for limit in limits if limit.over_before is not None)


def before_of(seen: Seen) -> dict[str, float]:
    """What is known of a device before the push, by the name of the measure."""
    values = {name: measure.value(seen) for name, measure in MEASURES.items()}
    return {name: float(f"{value:.4g}") for name, value in values.items() if value is not None}


def _first(named: Mapping[str, str]) -> str:
    said = "; ".join(f"{name}: {reason}" for name, reason in list(named.items())[:_NAMED])
    return said + ("; ..." if len(named) > _NAMED else "")
