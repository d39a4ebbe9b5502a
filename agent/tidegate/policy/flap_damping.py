"""Damping of rules that flap: their own switch moves the reading that they wait for, so they come and go for ever.

A flap is: the rule moves the point, ends soon after that, the point moves back, and soon after that the rule
begins again. After a few flaps in a row the cheaper of the two points is held, ever longer, whatever asks for a
costlier one. Nothing here ever holds a step down back.
"""

from dataclasses import replace

from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.conditions import Evaluation, number
from tidegate.policy.flap import Flap, Flapping, HoldDown
from tidegate.policy.policy import Policy, Rule, Threshold, leaves_of
from tidegate.policy.readings import INPUT, REQUEST_RATE
from tidegate_drivers.reading import BATTERY, POWER_SOURCE, TEMPERATURE, THERMAL_PRESSURE, THROTTLED

RESPONSE_S, HEAT_RESPONSE_S = 60.0, 900.0
"""How soon after a switch its consequences are seen: in the next window or two; heat takes its time."""
FLAPS, FLAPS_OUTSIDE = 3, 5
"""How many flaps in a row are no accident; more where the reading mostly moves for reasons of its own."""
HELD_S, LONGEST_HELD_S = 600.0, 4 * 3600.0
"""How long the cheaper point is held at first, and at most: each time twice as long."""
FORGOTTEN_S = 3600.0
"""After how long without a flap all is forgotten."""
OVERSHOOT_C = 2.0
"""How far heat may rise after the switch that is to have reversed it; beyond that, something else heats."""
OTHER_LOAD = 2.0
"""The change of the request rate that makes other conditions of it."""

_HEAT = frozenset({TEMPERATURE, THERMAL_PRESSURE, THROTTLED})
_OUTSIDE = frozenset({BATTERY, REQUEST_RATE})
_UNMOVED = frozenset({POWER_SOURCE, INPUT})
"""Readings that no operating point changes: rules on them alone can't flap."""


def with_rule(
    before: Flapping, rule: Rule | None, policy: Policy, evaluation: Evaluation, point: str, ladder: Ladder
) -> Flapping:
    """What is remembered once the rule in force is known, with `point` still in force."""
    flapping = before
    left = {name: hold for name, hold in before.hold_downs.items() if not _over(hold, evaluation)}
    if len(left) < len(before.hold_downs):
        flapping = replace(before, hold_downs=left)
    now = None if rule is None else rule.name
    if now == flapping.in_force:
        return _warmed(flapping, rule, evaluation)
    last = next((each for each in policy.rules if each.name == flapping.in_force), None)
    if last is not None and last.when is not None and evaluation.truth(last.when) is not True:
        flapping = _ended(flapping, last, evaluation, point)
    if rule is not None:
        flapping = _begun(flapping, rule, evaluation, point, ladder)
    return replace(flapping, in_force=now)


def with_switch(flapping: Flapping, rule: Rule | None, evaluation: Evaluation, *, down: bool) -> Flapping:
    """What is remembered after a switch: `rule` moved the point, and rules that had ended are back at theirs."""
    at = evaluation.snapshot.at
    changed = {}
    for name, flap in flapping.of.items():
        if flap.ended_at is not None and flap.down is not down and (rule is None or rule.name != name):
            changed[name] = replace(flap, back_at=at)
    if rule is not None and rule.when is not None:
        flap = flapping.of.get(rule.name, Flap())
        celsius = number(evaluation.snapshot, TEMPERATURE)
        first = flap.moved_at is None or flap.ended_at is not None
        changed[rule.name] = replace(
            flap,
            moved_at=at,
            down=down,
            moved_c=celsius if first else flap.moved_c,
            hottest_c=celsius if first else flap.hottest_c,
            ended_at=None,
            back_at=None,
        )
    return replace(flapping, of={**flapping.of, **changed}) if changed else flapping


def hold_down(flapping: Flapping, ladder: Ladder) -> HoldDown | None:
    """The one in force: of several that of the cheapest point; None for none."""
    names = {point.name: rung for rung, point in enumerate(ladder.points)}
    hold_downs = [hold for hold in flapping.hold_downs.values() if hold.point in names]
    return max(hold_downs, key=lambda hold: names[hold.point], default=None)


def held_down(hold: HoldDown, wanted: str, points: tuple[OperatingPoint, ...], ladder: Ladder) -> str:
    """The point to go for in place of a wanted one: no costlier than the held one, out of the allowed `points`."""
    rung = ladder.rung(hold.point)
    if ladder.rung(wanted) >= rung:
        return wanted
    return next((point.name for point in points if ladder.rung(point.name) >= rung), wanted)


def _over(hold: HoldDown, evaluation: Evaluation) -> bool:
    at = evaluation.snapshot.at
    if not hold.since <= at < hold.until:
        return True
    if at - hold.since < (hold.until - hold.since) / 2:
        return False
    # Other conditions: what was tried in vain may go well now. Not in the first half, or a changing load would ask
    # without end.
    source, rate_hz = evaluation.snapshot.word(POWER_SOURCE), number(evaluation.snapshot, REQUEST_RATE)
    if source != hold.source and source is not None and hold.source is not None:
        return True
    if rate_hz is None or hold.rate_hz is None:
        return False
    low, high = sorted((rate_hz, hold.rate_hz))
    return high > OTHER_LOAD * low


def _warmed(flapping: Flapping, rule: Rule | None, evaluation: Evaluation) -> Flapping:
    """With the highest temperature since the switch of the rule in force."""
    if rule is None or (flap := flapping.of.get(rule.name)) is None or flap.hottest_c is None:
        return flapping
    if flap.ended_at is not None:
        return flapping
    celsius = number(evaluation.snapshot, TEMPERATURE)
    if celsius is None or celsius <= flap.hottest_c:
        return flapping
    return replace(flapping, of={**flapping.of, rule.name: replace(flap, hottest_c=celsius)})


def _ended(flapping: Flapping, rule: Rule, evaluation: Evaluation, point: str) -> Flapping:
    """After the rule that was in force has ended."""
    flap = flapping.of.get(rule.name)
    if flap is None or flap.moved_at is None or flap.ended_at is not None:
        return flapping
    passed_s = evaluation.snapshot.at - flap.moved_at
    if 0.0 <= passed_s <= _response_s(rule, evaluation) and not _driven(rule, flap) and _needed(rule) is not None:
        after = replace(flap, ended_at=evaluation.snapshot.at, ended_on=point)
    else:
        after = Flap(flapped_at=flap.flapped_at)
    return replace(flapping, of={**flapping.of, rule.name: after})


def _begun(flapping: Flapping, rule: Rule, evaluation: Evaluation, point: str, ladder: Ladder) -> Flapping:
    """After a rule has come into force."""
    flap, at = flapping.of.get(rule.name), evaluation.snapshot.at
    back_at = None if flap is None or flap.ended_at is None else flap.back_at
    if flap is None or back_at is None:
        return flapping  # it never moved the point, or the point never moved back
    tried = flapping.held.get(rule.name, 0)
    if flap.flapped_at is not None and at - flap.flapped_at > FORGOTTEN_S + _held_s(rule, max(0, tried - 1)):
        flap, tried = replace(flap, count=0), 0
    soon = 0.0 <= at - back_at <= _response_s(rule, evaluation)
    count = flap.count + 1 if soon else 0
    after = Flap(count=count, flapped_at=at if soon else flap.flapped_at)
    of = {**flapping.of, rule.name: after}
    needed = _needed(rule)
    if needed is None or count < needed or not soon:
        return replace(flapping, of=of, held={**flapping.held, rule.name: tried})
    names = [each.name for each in ladder.points]
    safe = max((name for name in (flap.ended_on, point) if name in names), key=names.index, default=point)
    hold = HoldDown(
        rule.name,
        safe,
        count,
        at,
        at + _held_s(rule, tried),
        number(evaluation.snapshot, REQUEST_RATE),
        evaluation.snapshot.word(POWER_SOURCE),
    )
    hold_downs = {**flapping.hold_downs, rule.name: hold}
    return replace(flapping, of=of, hold_downs=hold_downs, held={**flapping.held, rule.name: tried + 1})


def _kinds(rule: Rule) -> set[str]:
    leaves = () if rule.when is None else leaves_of(rule.when)
    return {leaf.reading.partition("/")[0] for leaf in leaves} - _UNMOVED


def _needed(rule: Rule) -> int | None:
    """How many flaps in a row it takes; None for a rule on nothing that an operating point changes."""
    kinds = _kinds(rule)
    if not kinds:
        return None
    return FLAPS_OUTSIDE if kinds <= _OUTSIDE else FLAPS


def _response_s(rule: Rule, evaluation: Evaluation) -> float:
    leaves = () if rule.when is None else tuple(leaves_of(rule.when))
    waits_s = max((leaf.for_s for leaf in leaves if isinstance(leaf, Threshold)), default=0.0)
    ages_s = [
        evaluation.snapshot.readings[leaf.reading].max_age_s
        for leaf in leaves
        if leaf.reading in evaluation.snapshot.readings
    ]
    response_s = HEAT_RESPONSE_S if _kinds(rule) & _HEAT else RESPONSE_S
    return max(response_s, *ages_s, 0.0) + waits_s


def _held_s(rule: Rule, tried: int) -> float:
    first_s = 2 * HEAT_RESPONSE_S if _kinds(rule) & _HEAT else HELD_S
    return min(LONGEST_HELD_S, first_s * 2.0 ** min(tried, 10))


def _driven(rule: Rule, flap: Flap) -> bool:
    """Whether the heat went on rising after the switch, as it does when something else makes it."""
    if not flap.down or not _kinds(rule) & _HEAT or flap.moved_c is None or flap.hottest_c is None:
        return False
    return flap.hottest_c - flap.moved_c > OVERSHOOT_C
