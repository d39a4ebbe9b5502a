"""The decision: from snapshot, policy, ladder and what was before to the operating point to be at now."""

from dataclasses import replace
from datetime import datetime

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.brown_out import observe, put_off
from tidegate.policy.choice import NONE_OFF, SLOW_DOWN_HZ, Choice, allowed, choose
from tidegate.policy.clauses import because, missing, window_clause
from tidegate.policy.conditions import Evaluation
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.duty_cycle import asleep_next
from tidegate.policy.flap import NO_FLAPPING
from tidegate.policy.flap_damping import held_down, hold_down, with_rule, with_switch
from tidegate.policy.learned import Learned
from tidegate.policy.learned import observe as learn
from tidegate.policy.pace import Target, step
from tidegate.policy.policy import NO_LIMIT, Limit, NoFit, Pause, Policy, Rule, Sleep
from tidegate.policy.setpoint import Setpoint, best_setpoint
from tidegate.policy.sleep import Sleeping, fall_asleep, woken_by
from tidegate_drivers.reading import BATTERY, Freshness, Snapshot


def decide(snapshot: Snapshot, policy: Policy, ladder: Ladder, state: ControlState, now: datetime) -> Decision:
    """The operating point to be at now, and why. Pure and total: no input of these types raises.

    `snapshot.at` is the clock of dwell and `for` (s, monotonic); `now` is the wall clock, for times of day.
    After a change of policy start from a state without `holding`, `since` and `flapping`: they are of the old one.
    """
    evaluation = Evaluation(policy, snapshot, state, now)
    sleeping, woken, why_woken = _sleep(policy, evaluation, state)
    rule = first_rule(policy, evaluation, woken) if sleeping is None else _named(policy, sleeping.rule)
    if sleeping is None and rule is not None and isinstance(rule.use, Sleep):
        sleeping = fall_asleep(rule.name, rule.use, snapshot.at, evaluation.moment)
    use = policy.default if rule is None else rule.use
    guard = None if state.guard is None else observe(state.guard, snapshot)
    off = NONE_OFF if guard is None else put_off(guard, allowed(ladder, policy.max_accuracy_loss))
    choice = choose(use, ladder, policy, off)
    urgent = rule is not None and rule.urgent
    learned, setpoint = state.learned, Setpoint(ladder.points[ladder.rung(choice.point)])
    if policy.goals.any:
        learned = learn(state.learned or Learned.from_prior(), snapshot, ladder, state.point, now)
        if choice.fits and not urgent and not isinstance(use, Pause) and sleeping is None:
            points = _from(choice)
            setpoint = best_setpoint(points, policy, snapshot, learned, state.point, evaluation.moment)
    awake_since = snapshot.at if state.awake_since is None or state.sleeping is not None else state.awake_since
    cycle = policy.goals.duty_cycle
    if setpoint.awake is not None and cycle is not None:
        sleeping = asleep_next(setpoint.awake, cycle, awake_since, snapshot.at, evaluation.moment)
    # What is asleep moves no more: the next worker begins where this one was.
    rests = sleeping is not None and any(point.name == state.point for point in ladder.points)
    wanted = state.point if rests else setpoint.point.name
    before = _unwound(state, snapshot.at)
    flapping = with_rule(state.flapping or NO_FLAPPING, rule, policy, evaluation, state.point, ladder)
    hold = hold_down(flapping, ladder) if flapping.hold_downs and not rests else None
    target = wanted if hold is None else held_down(hold, wanted, choice.points, ladder)
    # A point that the power may fail at is left without a dwell.
    at_once = urgent or setpoint.urgent or state.point in off
    taken = step(Target(target, at_once), policy, ladder, before, snapshot.at)
    if hold is not None and target != wanted:
        rest = f"{hold.point} is kept for another {hold.until - snapshot.at:.0f} s"
        # On its way down to the held point, the point may still be the wanted one.
        held_back = (*taken.held_back, f"{rest} (rule '{hold.rule}' flaps)")
        taken = replace(taken, held_back=() if taken.point == wanted else held_back)
    if taken.point != state.point:
        flapping = with_switch(flapping, rule, evaluation, down=_down(ladder, state.point, taken.point))
    limit = _limit(rule, choice, setpoint, policy)
    paused = isinstance(use, Pause) or sleeping is not None
    refuses = paused or (not choice.fits and policy.no_fit is NoFit.REFUSE)
    let_in_hz = 0.0 if refuses else limit.rate_hz
    if learned is not None and learned.limit_hz != let_in_hz:
        learned = replace(learned, limit_hz=let_in_hz)
    after = ControlState(
        point=taken.point,
        switched_at=before.switched_at if taken.point == state.point else snapshot.at,
        holding=frozenset(evaluation.holding),
        since=evaluation.since,
        learned=learned,
        samples=evaluation.samples,
        flapping=flapping,
        guard=guard,
        sleeping=sleeping,
        woken=woken,
        awake_since=awake_since,
    )
    why_held = "" if hold is None else hold.because
    said = [] if state.sleeping is sleeping is not None else [_reason(rule, choice, setpoint, policy, evaluation)]
    said += [] if sleeping is None else [sleeping.in_words()]
    return Decision(
        point=taken.point,
        wanted=wanted,
        rule=None if rule is None else rule.name,
        urgent=at_once,
        fits=choice.fits,
        reason="; ".join(part for part in (*said, why_woken, why_held) if part),
        held_back=taken.held_back,
        state=after,
        limit=limit,
        paused=paused,
        controls=policy.default_controls if rule is None else rule.controls,
        flapping=why_held,
    )


def first_rule(policy: Policy, evaluation: Evaluation, woken: frozenset[str] = frozenset()) -> Rule | None:
    """The rule in force; None for the default. Those that have been `woken` from are passed over."""
    return next((rule for rule in policy.rules if rule.name not in woken and _holds(rule, evaluation)), None)


def _holds(rule: Rule, evaluation: Evaluation) -> bool:
    if rule.between is not None and not rule.between.between.holds(evaluation.moment):
        return False
    return rule.when is None or evaluation.truth(rule.when) is True


def _named(policy: Policy, name: str) -> Rule | None:
    return next((rule for rule in policy.rules if rule.name == name), None)


def _sleep(
    policy: Policy, evaluation: Evaluation, state: ControlState
) -> tuple[Sleeping | None, frozenset[str], str]:
    """The sleep that goes on, the rules woken from that still hold, and what has woken it now, in words."""
    woken, sleeping, why = state.woken, state.sleeping, None
    if sleeping is not None:
        missing_battery = evaluation.assumption(BATTERY)
        why = woken_by(sleeping, evaluation.snapshot, evaluation.moment, missing_battery)
        if why is None:
            return sleeping, woken, ""
        woken |= {sleeping.rule}
    if woken:
        woken = frozenset(rule.name for rule in policy.rules if rule.name in woken and _holds(rule, evaluation))
    return None, woken, "" if why is None else f"woken, since {why}"


def _down(ladder: Ladder, before: str, after: str) -> bool:
    """Whether a switch leads to a cheaper point; one that is no longer on the ladder counts as the costliest."""
    names = [point.name for point in ladder.points]
    return before not in names or names.index(after) > names.index(before)


def _from(choice: Choice) -> tuple[OperatingPoint, ...]:
    """The allowed points from the chosen one downwards."""
    points = choice.points
    return points[next(index for index, point in enumerate(points) if point.name == choice.point) :]


def _limit(rule: Rule | None, choice: Choice, setpoint: Setpoint, policy: Policy) -> Limit:
    limit = NO_LIMIT if rule is None else rule.limit
    rates = [rate for rate in (limit.rate_hz, setpoint.rate_hz) if rate is not None]
    if not choice.fits and policy.no_fit is NoFit.SLOW_DOWN:
        rates.append(SLOW_DOWN_HZ)
    return replace(limit, rate_hz=min(rates)) if rates else limit


def _unwound(state: ControlState, now_s: float) -> ControlState:
    # A switch in the future happened on the clock of an earlier boot. Counting from now keeps the dwell
    # and ends it; counting from then could hold a point for days.
    if state.switched_at is None or state.switched_at <= now_s:
        return state
    return replace(state, switched_at=now_s)


def _reason(rule: Rule | None, choice: Choice, setpoint: Setpoint, policy: Policy, evaluation: Evaluation) -> str:
    clauses = []
    if rule is None:
        clauses += ["no rule holds", *_unknown(policy, evaluation)]
        clauses += [
            because(evaluation, leaf, evaluation.truths[leaf.path] is True)
            for leaf in policy.leaves
            if leaf.path in evaluation.unconfirmed
        ]
    else:
        why = "" if rule.when is None else because(evaluation, rule.when)
        window = "" if rule.between is None else window_clause(rule.between)
        clauses.append(" ".join(part for part in (why, window) if part) or "the rule always holds")
    if choice.note:
        clauses.append(choice.note)
    if setpoint.because:
        clauses.append(setpoint.because)
    return "; ".join(clauses)


def _unknown(policy: Policy, evaluation: Evaluation) -> list[str]:
    """The readings without which no rule could be found to hold."""
    snapshot = evaluation.snapshot
    return [
        missing(evaluation, name) for name in policy.readings if snapshot.freshness(name) is not Freshness.FRESH
    ]
