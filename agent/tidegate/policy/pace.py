"""How fast to get from one operating point to another: dwell, one rung at a time, urgent straight down."""

from dataclasses import dataclass

from tidegate.models.ladder import Ladder
from tidegate.policy.choice import allowed
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Step:
    """The point to be at now, and in words what keeps it from being the one wanted."""

    point: str
    held_back: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The point to get to, and whether without a dwell on the way down."""

    point: str
    urgent: bool


def step(target: Target, policy: Policy, ladder: Ladder, state: ControlState, now_s: float) -> Step:
    """The next point on the way from the state's point to the target, which is on the ladder.

    A point that is no longer on the ladder is left at once for the target. One that the ceiling forbids is left
    at once too, for the nearest allowed point: the ceiling comes before the dwell.
    """
    names = [point.name for point in ladder.points]
    if state.point not in names or state.point == target.point:
        return Step(target.point)
    here, there = names.index(state.point), names.index(target.point)
    down = there > here
    if down and target.urgent:
        return Step(target.point)
    usable = {point.name for point in allowed(ladder, policy.max_accuracy_loss)} | {target.point}
    if state.point in usable:
        dwell_s = policy.dwell.down_s if down else policy.dwell.up_s
        wait_s = _wait(dwell_s, state, now_s)
        if wait_s > 0:
            dwell = f"dwell {'down' if down else 'up'} {dwell_s:g} s"
            return Step(state.point, (f"stays at {state.point} for another {wait_s:.3g} s ({dwell})",))
    way = names[here + 1 : there + 1] if down else names[there:here][::-1]
    following = next(name for name in way if name in usable)
    if following == target.point:
        return Step(following)
    return Step(following, (f"goes to {following} first, one rung at a time towards {target.point}",))


def _wait(dwell_s: float, state: ControlState, now_s: float) -> float:
    if state.switched_at is None:
        return 0.0
    elapsed_s = now_s - state.switched_at
    return 0.0 if elapsed_s >= dwell_s else dwell_s - elapsed_s
