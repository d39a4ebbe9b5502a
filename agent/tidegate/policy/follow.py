"""Where further models are on their ladders, as the device's policy is decided over the main one's. Pure."""

from dataclasses import replace

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.choice import allowed, choose, loss
from tidegate.policy.decision import Decision
from tidegate.policy.hold import HELD
from tidegate.policy.policy import Bounds, Named, Policy, Use


def followed(decision: Decision, policy: Policy, main: Ladder, ladder: Ladder, held_at: str | None = None) -> str:
    """The point of a further model's `ladder` while the main one is where the decision puts it on `main`.

    The point of the same name if the ladder has it, else the cheapest that is certified to lose no more than the
    main model's. What the rule in force asks for counts too, and of both the cheaper one. `policy` has the model's
    own ceiling; `held_at` is the point that somebody holds.
    """
    points = allowed(ladder, policy.max_accuracy_loss)
    here = main.points[main.rung(decision.point)] if decision.point in main.names else main.full
    by_main = _beside(here, main, points)
    by_rule = _asked(_use(decision, policy, held_at), policy, main, ladder, points)
    return max(by_main, by_rule, key=points.index).name


def under(policy: Policy, ceiling: float | None) -> Policy:
    """The policy with a model's own ceiling, if that is lower."""
    if ceiling is None or ceiling >= policy.max_accuracy_loss:
        return policy
    return replace(policy, max_accuracy_loss=ceiling)


def _use(decision: Decision, policy: Policy, held_at: str | None) -> Use:
    if decision.rule == HELD and held_at is not None:
        return Named(held_at)
    return next((rule.use for rule in policy.rules if rule.name == decision.rule), policy.default)


def _asked(
    use: Use, policy: Policy, main: Ladder, ladder: Ladder, points: tuple[OperatingPoint, ...]
) -> OperatingPoint:
    if isinstance(use, Named):
        named = [point for point in main.points if point.name == use.point]
        return _beside(named[0], main, points) if named else points[0]
    if isinstance(use, Bounds) and use != Bounds(use.max_accuracy_loss):
        # Watts, milliseconds and bytes are the device's to save: the main model's point tells how much.
        return points[0]
    choice = choose(use, ladder, policy)
    return next((point for point in points if point.name == choice.point), points[-1])


def _beside(point: OperatingPoint, main: Ladder, points: tuple[OperatingPoint, ...]) -> OperatingPoint:
    """What of a further model's points goes with one of the main model's."""
    for each in points:
        if each.name == point.name:
            return each
    most = loss(point, main)
    if most is None:
        return points[-1]
    # Never empty: the full point loses nothing.
    return [each for each in points if each is points[0] or (each.certified_risk or 0.0) <= most][-1]
