"""Which operating point a rule asks for, on a given ladder under the ceiling."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.policy import Bounds, Cheapest, Full, Named, NoFit, Pause, Policy, Use

NONE_OFF: Mapping[str, str] = {}
SLOW_DOWN_HZ = 1.0
"""The rate that `no_fit: slow_down` leaves; a policy that wants another writes `limit` in its rules."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The point asked for; `fits` False when none satisfies the rule, then `note` says why and what happens.

    `points` are all that may be used, full first: within the ceiling, and not put off.
    """

    point: str
    points: tuple[OperatingPoint, ...]
    fits: bool = True
    note: str = ""


def loss(point: OperatingPoint, ladder: Ladder) -> float | None:
    """The certified share of answers lost, 0..1; 0 for the full point, which loses nothing against itself."""
    return 0.0 if point is ladder.full else point.certified_risk


def accuracy(point: OperatingPoint) -> float:
    """The share of right answers to expect, 0..1; without labels the agreement with the full model stands in."""
    figures = point.figures
    return figures.accuracy if figures.accuracy is not None else 1.0 - figures.disagreement


def allowed(ladder: Ladder, ceiling: float) -> tuple[OperatingPoint, ...]:
    """The certified points within the ceiling, full first; never empty, since full is always one of them."""
    return tuple(p for p in ladder.points if (risk := loss(p, ladder)) is not None and risk <= ceiling)


def choose(use: Use, ladder: Ladder, policy: Policy, off: Mapping[str, str] = NONE_OFF) -> Choice:
    """The point that `use` means. Total: every use on every ladder has an answer.

    Points that are `off`, each with the reason, are passed over for cheaper ones; the cheapest allowed never is.
    """
    points = allowed(ladder, policy.max_accuracy_loss)
    meant = _choose(use, points, ladder, policy)
    on = tuple(point for point in points if point.name not in off)
    if meant.point not in off:
        return replace(meant, points=on)
    instead = _choose(use, on, ladder, policy) if isinstance(use, Bounds) else Choice(on[0].name, on)
    return replace(instead, note="; ".join(part for part in (off[meant.point], instead.note) if part))


def _choose(use: Use, points: tuple[OperatingPoint, ...], ladder: Ladder, policy: Policy) -> Choice:
    match use:
        case Full():
            return Choice(ladder.full.name, points)
        case Cheapest() | Pause():
            return Choice(points[-1].name, points, note="answers are paused" if isinstance(use, Pause) else "")
        case Named(name):
            if any(point.name == name for point in points):
                return Choice(name, points)
            known = name in {point.name for point in ladder.points}
            ceiling = f"is not certified within {policy.max_accuracy_loss * 100:g} %"
            return _no_fit(
                f"point '{name}' {ceiling if known else 'is not on the ladder'}", points, ladder, policy
            )
        case Bounds():
            fitting = [point for point in points if _within(point, use, ladder)]
            if not fitting:
                return _no_fit("no certified point is within " + _in_words(use), points, ladder, policy)
            # A loss bound alone is a budget to spend; a cost bound is to be met at the least loss.
            return Choice((fitting[0] if _bounds_cost(use) else fitting[-1]).name, points)


def power_w(point: OperatingPoint) -> float | None:
    """Mean draw while answering, W: energy per input over its mean time; None when either is not measured."""
    figures = point.figures
    if figures.energy_mj is None or figures.busy_ms <= 0:
        return None
    return figures.energy_mj / figures.busy_ms


def _bounds_cost(bounds: Bounds) -> bool:
    return any(bound is not None for bound in (bounds.max_power_w, bounds.max_latency_ms, bounds.max_memory_bytes))


def _within(point: OperatingPoint, bounds: Bounds, ladder: Ladder) -> bool:
    figures = (
        (bounds.max_accuracy_loss, loss(point, ladder)),
        (bounds.max_power_w, power_w(point)),
        (bounds.max_latency_ms, point.figures.latency_p95_ms),
        (bounds.max_memory_bytes, point.figures.weights_resident_bytes),
    )
    return all(bound is None or (figure is not None and figure <= bound) for bound, figure in figures)


def _in_words(bounds: Bounds) -> str:
    words = []
    if bounds.max_accuracy_loss is not None:
        words.append(f"{bounds.max_accuracy_loss * 100:g} % loss")
    if bounds.max_power_w is not None:
        words.append(f"{bounds.max_power_w:g} W")
    if bounds.max_latency_ms is not None:
        words.append(f"{bounds.max_latency_ms:g} ms")
    if bounds.max_memory_bytes is not None:
        words.append(f"{bounds.max_memory_bytes / (1 << 20):g} MiB")
    return " and ".join(words)


def _no_fit(why: str, points: tuple[OperatingPoint, ...], ladder: Ladder, policy: Policy) -> Choice:
    if policy.no_fit is NoFit.CHEAPEST_UNCERTIFIED:
        point = ladder.cheapest
        state = "certified" if point in points else "not certified"
        return Choice(point.name, points, False, f"{why}; uses the cheapest point, '{point.name}' ({state})")
    if policy.no_fit is NoFit.SLOW_DOWN:
        return Choice(
            points[-1].name, points, False, f"{why}; uses '{points[-1].name}' at {SLOW_DOWN_HZ:g} request a second"
        )
    return Choice(points[-1].name, points, False, f"{why}; requests are refused")
