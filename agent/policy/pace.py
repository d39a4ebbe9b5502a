"""How fast to get from one operating point to another: dwell, one rung at a time, urgent straight down."""

from dataclasses import dataclass

from agent.models.ladder import Ladder
from agent.policy.choice import allowed
from agent.policy.decision import ControlState
from agent.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Step:
    """The point to be at now, and in words what keeps it from being the one wanted."""

    point: str
    held_back: tuple[str, ...] = ()


def step(wanted: str, urgent: bool, policy: Policy, ladder: Ladder, state: ControlState, now_s: float) -> Step:
    """The next point on the way from the state's point to `wanted`, which is on the ladder.

    A point that is no longer on the ladder is left at once for `wanted`. One that the ceiling forbids is left
    at once too, for the nearest allowed point: the ceiling comes before the dwell.
    """
    names = [point.name for point in ladder.points]
    if state.point not in names or state.point == wanted:
        return Step(wanted)
    here, goal = names.index(state.point), names.index(wanted)
    usable = {point.name for point in allowed(ladder, policy.max_accuracy_loss)} | {wanted}
    down = goal > here
    way = [name for name in (names[here + 1 : goal + 1] if down else names[goal:here][::-1]) if name in usable]
    # The first allowed point above is the nearest; going down every one on the way is nearer to full than `wanted`.
    following = way[0]
    forbidden = state.point not in usable
    if not forbidden and not (urgent and down):
        wait_s = _wait(down, policy, state, now_s)
        if wait_s > 0:
            direction, dwell_s = ("down", policy.dwell.down_s) if down else ("up", policy.dwell.up_s)
            return Step(state.point, (f"stays at {state.point} for another {wait_s:.3g} s (dwell {direction} {dwell_s:g} s)",))
    if urgent and down:
        return Step(wanted)
    if following == wanted:
        return Step(wanted)
    return Step(following, (f"goes to {following} first, one rung at a time towards {wanted}",))


def _wait(down: bool, policy: Policy, state: ControlState, now_s: float) -> float:
    if state.switched_at is None:
        return 0.0
    dwell_s = policy.dwell.down_s if down else policy.dwell.up_s
    elapsed_s = now_s - state.switched_at
    return 0.0 if elapsed_s >= dwell_s else dwell_s - elapsed_s
