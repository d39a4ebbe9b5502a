"""The decision: from snapshot, policy, ladder and what was before to the operating point to be at now."""

from datetime import datetime

from agent.models.ladder import Ladder
from agent.policy.choice import Choice, choose
from agent.policy.conditions import Evaluation
from agent.policy.decision import ControlState, Decision
from agent.policy.pace import Goal, step
from agent.policy.policy import Policy, Rule
from drivers.reading import Freshness, Snapshot


def decide(snapshot: Snapshot, policy: Policy, ladder: Ladder, state: ControlState, now: datetime) -> Decision:
    """The operating point to be at now, and why. Pure and total: no input of these types raises.

    `snapshot.at` is the clock of dwell and `for` (s, monotonic); `now` is the local wall clock, for `between`.
    After a change of policy start from a state without `holding` and `since`: their paths belong to the old one.
    """
    evaluation = Evaluation.of(policy, snapshot, state)
    rule = _first(policy, evaluation, now)
    choice = choose(policy.default if rule is None else rule.use, ladder, policy)
    urgent = rule is not None and rule.urgent
    before = _unwound(state, snapshot.at)
    taken = step(Goal(choice.point, urgent), policy, ladder, before, snapshot.at)
    after = ControlState(
        point=taken.point,
        switched_at=before.switched_at if taken.point == state.point else snapshot.at,
        holding=frozenset(evaluation.holding),
        since=evaluation.since,
    )
    return Decision(
        point=taken.point,
        wanted=choice.point,
        rule=None if rule is None else rule.name,
        urgent=urgent,
        fits=choice.fits,
        reason=_reason(rule, choice, policy, evaluation),
        held_back=taken.held_back,
        state=after,
    )


def _first(policy: Policy, evaluation: Evaluation, now: datetime) -> Rule | None:
    for rule in policy.rules:
        in_time = rule.between is None or rule.between.holds(now.time())
        if in_time and (rule.when is None or evaluation.truth(rule.when) is True):
            return rule
    return None


def _unwound(state: ControlState, now_s: float) -> ControlState:
    # A switch in the future happened on the clock of an earlier boot. Counting from now keeps the dwell
    # and ends it; counting from then could hold a point for days.
    if state.switched_at is None or state.switched_at <= now_s:
        return state
    return ControlState(state.point, now_s, state.holding, state.since)


def _reason(rule: Rule | None, choice: Choice, policy: Policy, evaluation: Evaluation) -> str:
    clauses = []
    if rule is None:
        clauses += ["no rule holds", *_unknown(policy, evaluation)]
    else:
        because = "" if rule.when is None else evaluation.because(rule.when)
        window = "" if rule.between is None else f"between {rule.between.start:%H:%M} and {rule.between.end:%H:%M}"
        clauses.append(" ".join(part for part in (because, window) if part) or "the rule always holds")
    if choice.note:
        clauses.append(choice.note)
    return "; ".join(clauses)


def _unknown(policy: Policy, evaluation: Evaluation) -> list[str]:
    """The readings without which no rule could be found to hold."""
    readings = dict.fromkeys(leaf.reading for leaf in policy.leaves)
    snapshot = evaluation.snapshot
    return [evaluation.missing(name) for name in readings if snapshot.freshness(name) is not Freshness.FRESH]
