"""Rules that undo themselves: their switch moves the reading that they wait for, so they come and go for ever.

A turn is: the rule moves the point, ends soon after that, the point moves back, and soon after that the rule
begins again. After a few turns in a row the cheaper of the two points is kept, ever longer, whatever asks for a
costlier one. Nothing here ever holds a step down back.
"""

from dataclasses import replace

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.conditions import Evaluation, number
from tidegate.policy.policy import Policy, Rule, Threshold, leaves_of
from tidegate.policy.readings import INPUT, REQUEST_RATE
from tidegate.policy.turn import Keep, Turn, Turns
from tidegate_drivers.reading import BATTERY, POWER_SOURCE, TEMPERATURE, THERMAL_PRESSURE, THROTTLED

SOON_S, SOON_HEAT_S = 60.0, 900.0
"""How soon after a switch its consequences are seen: in the next window or two; heat takes its time."""
TURNS, TURNS_OUTSIDE = 3, 5
"""How many turns in a row are no accident; more where the reading mostly moves for reasons of its own."""
KEPT_S, LONGEST_KEPT_S = 600.0, 4 * 3600.0
"""How long the cheaper point is kept at first, and at most: each time twice as long."""
FORGOTTEN_S = 3600.0
"""After how long without a turn all is forgotten."""
OVERSHOOT_C = 2.0
"""How far heat may rise after the switch that is to have turned it; what rises further, something else drives."""
OTHER_LOAD = 2.0
"""The change of the request rate that makes other conditions of it."""

_HEAT = frozenset({TEMPERATURE, THERMAL_PRESSURE, THROTTLED})
_OUTSIDE = frozenset({BATTERY, REQUEST_RATE})
_UNMOVED = frozenset({POWER_SOURCE, INPUT})
"""Readings that no operating point changes: rules on them alone can't undo themselves."""


def followed(
    before: Turns, rule: Rule | None, policy: Policy, evaluation: Evaluation, point: str, ladder: Ladder
) -> Turns:
    """What is remembered once the rule in force is known, with `point` still in force."""
    turns = before
    if turns.keeps and (over := [keep for keep in turns.keeps.values() if _over(keep, evaluation)]):
        left = {name: keep for name, keep in turns.keeps.items() if keep not in over}
        turns = replace(turns, keeps=left)
    now = None if rule is None else rule.name
    if now == turns.in_force:
        return _warmed(turns, rule, evaluation)
    last = next((each for each in policy.rules if each.name == turns.in_force), None)
    if last is not None and last.when is not None and evaluation.truth(last.when) is not True:
        turns = _ended(turns, last, evaluation, point)
    if rule is not None:
        turns = _begun(turns, rule, evaluation, point, ladder)
    return replace(turns, in_force=now)


def moved(turns: Turns, rule: Rule | None, evaluation: Evaluation, *, down: bool) -> Turns:
    """The turns after a switch: `rule` has moved the point, and rules that had ended are back at theirs."""
    at = evaluation.snapshot.at
    changed = {}
    for name, turn in turns.of.items():
        if turn.ended_at is not None and turn.down is not down and (rule is None or rule.name != name):
            changed[name] = replace(turn, back_at=at)
    if rule is not None and rule.when is not None:
        turn = turns.of.get(rule.name, Turn())
        celsius = number(evaluation.snapshot, TEMPERATURE)
        first = turn.moved_at is None or turn.ended_at is not None
        changed[rule.name] = replace(
            turn,
            moved_at=at,
            down=down,
            moved_c=celsius if first else turn.moved_c,
            hottest_c=celsius if first else turn.hottest_c,
            ended_at=None,
            back_at=None,
        )
    return replace(turns, of={**turns.of, **changed}) if changed else turns


def kept(turns: Turns, ladder: Ladder) -> Keep | None:
    """What is kept now: the cheapest of what several rules make be kept; None for nothing."""
    names = {point.name: rung for rung, point in enumerate(ladder.points)}
    keeps = [keep for keep in turns.keeps.values() if keep.point in names]
    return max(keeps, key=lambda keep: names[keep.point], default=None)


def below(keep: Keep, wanted: str, points: tuple[OperatingPoint, ...], ladder: Ladder) -> str:
    """The point to go for in place of a wanted one: no costlier than the kept one, out of the allowed `points`."""
    rung = ladder.rung(keep.point)
    if ladder.rung(wanted) >= rung:
        return wanted
    return next((point.name for point in points if ladder.rung(point.name) >= rung), wanted)


def _over(keep: Keep, evaluation: Evaluation) -> bool:
    at = evaluation.snapshot.at
    if not keep.since <= at < keep.until:
        return True
    if at - keep.since < (keep.until - keep.since) / 2:
        return False
    # Other conditions: what was tried in vain may go well now. Not in the first half, or a changing load would ask
    # without end.
    source, rate_hz = evaluation.snapshot.word(POWER_SOURCE), number(evaluation.snapshot, REQUEST_RATE)
    if source != keep.source and source is not None and keep.source is not None:
        return True
    if rate_hz is None or keep.rate_hz is None:
        return False
    low, high = sorted((rate_hz, keep.rate_hz))
    return high > OTHER_LOAD * low


def _warmed(turns: Turns, rule: Rule | None, evaluation: Evaluation) -> Turns:
    """With the highest temperature since the switch of the rule in force."""
    if rule is None or (turn := turns.of.get(rule.name)) is None or turn.hottest_c is None:
        return turns
    if turn.ended_at is not None:
        return turns
    celsius = number(evaluation.snapshot, TEMPERATURE)
    if celsius is None or celsius <= turn.hottest_c:
        return turns
    return replace(turns, of={**turns.of, rule.name: replace(turn, hottest_c=celsius)})


def _ended(turns: Turns, rule: Rule, evaluation: Evaluation, point: str) -> Turns:
    """After the rule that was in force has ended."""
    turn = turns.of.get(rule.name)
    if turn is None or turn.moved_at is None or turn.ended_at is not None:
        return turns
    passed_s = evaluation.snapshot.at - turn.moved_at
    if 0.0 <= passed_s <= _soon_s(rule, evaluation) and not _driven(rule, turn) and _needed(rule) is not None:
        after = replace(turn, ended_at=evaluation.snapshot.at, ended_on=point)
    else:
        after = Turn(turned_at=turn.turned_at)
    return replace(turns, of={**turns.of, rule.name: after})


def _begun(turns: Turns, rule: Rule, evaluation: Evaluation, point: str, ladder: Ladder) -> Turns:
    """After a rule has come into force."""
    turn, at = turns.of.get(rule.name), evaluation.snapshot.at
    back_at = None if turn is None or turn.ended_at is None else turn.back_at
    if turn is None or back_at is None:
        return turns  # it never moved the point, or the point never moved back
    tried = turns.kept.get(rule.name, 0)
    if turn.turned_at is not None and at - turn.turned_at > FORGOTTEN_S + _kept_s(rule, max(0, tried - 1)):
        turn, tried = replace(turn, count=0), 0
    soon = 0.0 <= at - back_at <= _soon_s(rule, evaluation)
    count = turn.count + 1 if soon else 0
    after = Turn(count=count, turned_at=at if soon else turn.turned_at)
    of = {**turns.of, rule.name: after}
    needed = _needed(rule)
    if needed is None or count < needed or not soon:
        return replace(turns, of=of, kept={**turns.kept, rule.name: tried})
    names = [each.name for each in ladder.points]
    safe = max((name for name in (turn.ended_on, point) if name in names), key=names.index, default=point)
    keep = Keep(
        rule.name,
        safe,
        count,
        at,
        at + _kept_s(rule, tried),
        number(evaluation.snapshot, REQUEST_RATE),
        evaluation.snapshot.word(POWER_SOURCE),
    )
    keeps = {**turns.keeps, rule.name: keep}
    return replace(turns, of=of, keeps=keeps, kept={**turns.kept, rule.name: tried + 1})


def _kinds(rule: Rule) -> set[str]:
    leaves = () if rule.when is None else leaves_of(rule.when)
    return {leaf.reading.partition("/")[0] for leaf in leaves} - _UNMOVED


def _needed(rule: Rule) -> int | None:
    """How many turns it takes; None for a rule on nothing that an operating point changes."""
    kinds = _kinds(rule)
    if not kinds:
        return None
    return TURNS_OUTSIDE if kinds <= _OUTSIDE else TURNS


def _soon_s(rule: Rule, evaluation: Evaluation) -> float:
    leaves = () if rule.when is None else tuple(leaves_of(rule.when))
    waits_s = max((leaf.for_s for leaf in leaves if isinstance(leaf, Threshold)), default=0.0)
    ages_s = [
        evaluation.snapshot.readings[leaf.reading].max_age_s
        for leaf in leaves
        if leaf.reading in evaluation.snapshot.readings
    ]
    soon_s = SOON_HEAT_S if _kinds(rule) & _HEAT else SOON_S
    return max(soon_s, *ages_s, 0.0) + waits_s


def _kept_s(rule: Rule, tried: int) -> float:
    first_s = 2 * SOON_HEAT_S if _kinds(rule) & _HEAT else KEPT_S
    return min(LONGEST_KEPT_S, first_s * 2.0 ** min(tried, 10))


def _driven(rule: Rule, turn: Turn) -> bool:
    """Whether the heat went on rising after the switch, as it does when something else makes it."""
    if not turn.down or not _kinds(rule) & _HEAT or turn.moved_c is None or turn.hottest_c is None:
        return False
    return turn.hottest_c - turn.moved_c > OVERSHOOT_C
