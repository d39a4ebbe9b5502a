"""What a policy's rules will do on a ladder and a board: those that flap, never end or never hold.

The ladder says what each point takes and draws, the board how warm that makes it. A rule flaps where a
point on the way to its own reaches the leave value already, and a point on the way back the enter value.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.boards.device import Device
from tidegate.documents import Document, Mark, Problem
from tidegate.documents.problem import written
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.policy.choice import allowed, choose
from tidegate.policy.clauses import amount, name_of
from tidegate.policy.conditions import Evaluation
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import (
    Assumption,
    Equals,
    Leaf,
    Level,
    Pause,
    Policy,
    Rule,
    Side,
    Threshold,
    signed_leaves_of,
)
from tidegate.policy.readings import INPUT, LATENCY
from tidegate.simulation.run import MIDNIGHT
from tidegate_drivers.reading import (
    BATTERY,
    CPU,
    MEMORY_AVAILABLE,
    MEMORY_PRESSURE,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    THROTTLED,
    UNITS,
    Provenance,
    Reading,
    Snapshot,
)

LOADS = 40
"""How many request rates are tried, up to what the cheapest point can answer."""
SLOWEST = 20.0
"""How many times slower than calibrated an answer can get: beyond that a latency is none that is ever read."""
HOTTEST_C = 60.0
"""The hottest surroundings that a board is taken to get into, a closed box in the sun."""
_MOST = {BATTERY: 100.0, CPU: 100.0, MEMORY_PRESSURE: 100.0}
_NEEDS_BOARD = (POWER, TEMPERATURE, THROTTLED)


@dataclass(frozen=True, slots=True)
class _Response:
    """One reading at each point under one load: `free` while the rule is not in force, `bound` while it is."""

    when: str
    free: Mapping[str, float]
    bound: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Limits:
    """A condition as numbers: whether a value begins the rule, whether it ends it, and how both are put."""

    reading: str
    begins: Callable[[float], bool]
    ends: Callable[[float], bool]
    enter: str
    leave: str


def foresee(document: Document, policy: Policy, ladder: Ladder, device: Device | None) -> list[Problem]:
    """What is to be warned of, in the order of the document; rules of layers below are left out."""
    marks = {written(path): mark for path, mark in document.marks.items()}
    found = []
    for rule in policy.rules:
        if rule.when is None:
            continue
        for leaf, positive in signed_leaves_of(rule.when):
            if (mark := marks.get(leaf.path)) is not None:
                found += list(_of_leaf(leaf, positive, rule, policy, ladder, device, mark))
    return sorted(found, key=lambda each: (each.mark.line, each.mark.column))


def unseen(policy: Policy, device: Device | None) -> tuple[str, ...]:
    """The readings of its rules that can't be foreseen without a board."""
    if device is not None:
        return ()
    kinds = [reading.partition("/")[0] for reading in policy.readings]
    return tuple(dict.fromkeys(name_of(kind) for kind in kinds if kind in _NEEDS_BOARD))


def _of_leaf(
    leaf: Leaf, positive: bool, rule: Rule, policy: Policy, ladder: Ladder, device: Device | None, mark: Mark
) -> Iterator[Problem]:
    kind = leaf.reading.partition("/")[0]
    if kind == BATTERY and device is not None and device.battery_wh is None:
        yield from _no_battery(leaf, rule, policy, device, mark)
        return
    limits = _limits(leaf, positive, device)
    if limits is None:
        return
    if kind == MEMORY_AVAILABLE:
        yield from _memory(leaf, rule, policy, ladder, mark)
        return
    if positive and (why := _never_begins(leaf, policy, ladder, device)):
        hint = "give a value that is reached, or remove the condition"
        yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' can never hold", why, hint=hint)
        return
    responses = _responses(leaf, rule, policy, ladder, device)
    flap = _flaps(limits, responses, rule, policy, ladder)
    if flap is not None:
        response, begins_at, ends_at = flap
        target = _target(rule, ladder, policy)
        way = f"on the way to {target}, {ends_at}" if ends_at != target else f"{ends_at} itself"
        said = (
            f"{begins_at} {_shown(leaf, response.free[begins_at])}{response.when}, "
            f"which begins it ({limits.enter}); "
            f"{way} {_shown(leaf, response.bound[ends_at])}, which ends it ({limits.leave})"
        )
        hint = _instead(leaf, positive, limits, responses, rule, policy, ladder, device)
        yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' flaps", said, hint=hint)
    elif positive and (why := _never_ends(leaf, limits, responses, rule, policy, ladder, device)):
        hint = "raise `until`" if isinstance(leaf, Threshold) and leaf.side is Side.ABOVE else "lower `until`"
        yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' never ends once it holds", why, hint=hint)


def _limits(leaf: Leaf, positive: bool, device: Device | None) -> _Limits | None:
    """The condition as numbers; None for what no figure tells of."""
    match leaf:
        case Threshold(side=side, enter=enter, leave=leave):
            sign = 1.0 if side is Side.ABOVE else -1.0
            past, back = (lambda v: sign * v > sign * enter), (lambda v: sign * v <= sign * leave)
            enter_said = f"{side} {amount(enter, leaf.reading)}"
            leave_said = f"{'at or below' if sign > 0 else 'at or above'} {amount(leave, leaf.reading)}"
        case Equals(reading=reading, word=word) if reading == THROTTLED and device is not None:
            hot, cool = device.throttle_c, device.throttle_release_c
            past, back = (lambda v: v >= hot), (lambda v: v < cool)
            enter_said, leave_said = f"throttled from {hot:g} C", f"not throttled below {cool:g} C"
            if word == "no":
                past, back, enter_said, leave_said = back, past, leave_said, enter_said
        case Equals() | Level():
            return None
    if positive:
        return _Limits(leaf.reading, past, back, enter_said, leave_said)
    return _Limits(leaf.reading, back, past, leave_said, enter_said)


def _no_battery(leaf: Leaf, rule: Rule, policy: Policy, device: Device, mark: Mark) -> Iterator[Problem]:
    """What becomes of a rule on the battery where there is none: on_missing decides, and never otherwise."""
    plugged = Reading("external", UNITS[POWER_SOURCE], 0.0, Provenance.ESTIMATED, device.name)
    evaluation = Evaluation(policy, Snapshot(0.0, {POWER_SOURCE: plugged}), ControlState(""), MIDNIGHT)
    assumed = evaluation.assumption(leaf.reading)
    said = f"{device.name} has no battery, and on_missing says {assumed}"
    if rule.when is not None and evaluation.truth(rule.when) is True:
        yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' never ends once it holds", said)
    elif assumed is Assumption.IGNORE:
        yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' can never hold", said)


def _responses(leaf: Leaf, rule: Rule, policy: Policy, ladder: Ladder, device: Device | None) -> list[_Response]:
    """The reading at every allowed point: the latency on an idle and on a slowed device, draw and heat by load."""
    points = allowed(ladder, policy.max_accuracy_loss)
    kind = leaf.reading.partition("/")[0]
    if kind == LATENCY:
        return [] if isinstance(rule.use, Pause) else _latencies(leaf, points)
    if kind not in _NEEDS_BOARD or device is None:
        return []
    busy_s = [point.figures.busy_ms / 1e3 for point in points if point.figures.busy_ms > 0]
    if not busy_s:
        return []
    responses = []
    for step in range(1, LOADS + 1):
        asked_hz = step / LOADS / min(busy_s)
        let_in_hz = 0.0 if isinstance(rule.use, Pause) else min(asked_hz, rule.limit.rate_hz or math.inf)
        free = {point.name: _drawn(point, asked_hz, device) for point in points}
        bound = {point.name: _drawn(point, let_in_hz, device) for point in points}
        if kind != POWER:
            free, bound = ({name: _warm(w, device) for name, w in each.items()} for each in (free, bound))
        responses.append(_Response(f" at {asked_hz:.3g} requests a second", free, bound))
    return responses


def _latencies(leaf: Leaf, points: Sequence[OperatingPoint]) -> list[_Response]:
    """As calibrated, and so slow that the next of the points comes past the enter value."""
    p95_ms = {point.name: point.figures.latency_p95_ms for point in points}
    slow = {1.0}
    if isinstance(leaf, Threshold) and leaf.side is Side.ABOVE:
        slow |= {1.0001 * leaf.enter / ms for ms in p95_ms.values() if 0 < ms <= leaf.enter <= SLOWEST * ms}
    responses = []
    for times in sorted(slow):
        taken_ms = {name: times * ms for name, ms in p95_ms.items()}
        when = "" if times == 1.0 else f" when answers take {times:.3g} times as long as calibrated"
        responses.append(_Response(when, taken_ms, taken_ms))
    return responses


def _drawn(point: OperatingPoint, asked_hz: float, device: Device) -> float:
    busy_s = point.figures.busy_ms / 1e3
    served_hz = min(asked_hz, 1.0 / busy_s) if busy_s > 0 else asked_hz
    return device.idle_w + served_hz * device.answer_j(point)


def _warm(draw_w: float, device: Device) -> float:
    return device.ambient_c + device.heat_k_per_w * draw_w


def _flaps(
    limits: _Limits, responses: Sequence[_Response], rule: Rule, policy: Policy, ladder: Ladder
) -> tuple[_Response, str, str] | None:
    """Under which load, at which point the rule begins and at which it ends by its own switch."""
    for response in responses:
        for names in _ways(rule, policy, ladder, response, limits.reading):
            for index, name in enumerate(names[:-1]):
                if not limits.begins(response.free[name]):
                    continue
                onward = names[-1:] if rule.urgent and _descends(names, ladder) else names[index + 1 :]
                ending = next((each for each in onward if limits.ends(response.bound[each])), None)
                if ending is not None:
                    return response, name, ending
    return None


def _ways(rule: Rule, policy: Policy, ladder: Ladder, response: _Response, reading: str) -> Iterator[list[str]]:
    """From each point that is used without the rule to the rule's own: the points on the way, both included."""
    names = [point.name for point in allowed(ladder, policy.max_accuracy_loss)]
    goals = policy.goals
    kind = reading.partition("/")[0]
    if kind == LATENCY and goals.latency_p95_ms is not None:
        names = [name for name in names if response.free[name] <= goals.latency_p95_ms] or names[-1:]
    if kind == TEMPERATURE and goals.temperature_ceiling_c is not None:
        names = [name for name in names if response.free[name] <= goals.temperature_ceiling_c] or names[-1:]
    target = _nearest(names, choose(rule.use, ladder, policy).point, ladder)
    for use in dict.fromkeys((policy.default, *(each.use for each in policy.rules if each is not rule))):
        start = _nearest(names, choose(use, ladder, policy).point, ladder)
        low, high = sorted((names.index(start), names.index(target)))
        way = names[low : high + 1]
        if len(way) > 1:
            yield way if start == way[0] else way[::-1]


def _nearest(names: Sequence[str], wanted: str, ladder: Ladder) -> str:
    """The wanted point, or what goals make of it: the first allowed one below, else the last above."""
    rung = ladder.rung(wanted)
    return next((name for name in names if ladder.rung(name) >= rung), names[-1])


def _descends(names: Sequence[str], ladder: Ladder) -> bool:
    return ladder.rung(names[-1]) > ladder.rung(names[0])


def _target(rule: Rule, ladder: Ladder, policy: Policy) -> str:
    return "a pause" if isinstance(rule.use, Pause) else choose(rule.use, ladder, policy).point


def _shown(leaf: Leaf, value: float) -> str:
    kind = leaf.reading.partition("/")[0]
    verb = {LATENCY: "takes", POWER: "draws"}.get(kind, "comes to")
    return f"{verb} {amount(value, TEMPERATURE if kind == THROTTLED else kind)}"


def _never_begins(leaf: Leaf, policy: Policy, ladder: Ladder, device: Device | None) -> str:
    """Why a condition can't become true, in words; empty where it can."""
    if not isinstance(leaf, Threshold):
        return ""
    kind, above = leaf.reading.partition("/")[0], leaf.side is Side.ABOVE
    points = allowed(ladder, policy.max_accuracy_loss)
    if above and leaf.enter >= _MOST.get(kind, math.inf):
        return f"{name_of(kind)} is never above {amount(_MOST[kind], kind)}"
    if not above and kind not in {TEMPERATURE, INPUT} and leaf.enter <= 0:
        return f"{name_of(kind)} is never below {amount(0.0, kind)}"
    if kind == LATENCY:
        return _never_taken(leaf, [point.figures.latency_p95_ms for point in points])
    if device is not None and kind in {POWER, TEMPERATURE}:
        busiest_w = max(_drawn(point, math.inf, device) for point in points)
        return _never_drawn(leaf, device, busiest_w + device.other_w)
    return ""


def _never_taken(leaf: Threshold, times_ms: Sequence[float]) -> str:
    slowest_ms, fastest_ms = max(times_ms), min(times_ms)
    if leaf.side is Side.ABOVE:
        slowest = f"the slowest point takes {amount(slowest_ms, LATENCY)} (p95)"
        return slowest if leaf.enter > SLOWEST * slowest_ms else ""
    fastest = f"the fastest point within the ceiling takes {amount(fastest_ms, LATENCY)} (p95)"
    return fastest if leaf.enter <= fastest_ms else ""


def _never_drawn(leaf: Threshold, device: Device, most_w: float) -> str:
    above = leaf.side is Side.ABOVE
    if leaf.reading == POWER:
        if above and leaf.enter >= most_w:
            return f"{device.name} draws {amount(most_w, POWER)} at most, other programs included"
        least = f"{device.name} draws {amount(device.idle_w, POWER)} without answering"
        return least if not above and leaf.enter <= device.idle_w else ""
    most_c = HOTTEST_C + device.heat_k_per_w * most_w
    hottest = f"{device.name} reaches {amount(most_c, TEMPERATURE)} at most, at {HOTTEST_C:g} C ambient"
    return hottest if above and leaf.enter > most_c else ""


def _never_ends(
    leaf: Leaf,
    limits: _Limits,
    responses: Sequence[_Response],
    rule: Rule,
    policy: Policy,
    ladder: Ladder,
    device: Device | None,
) -> str:
    if not isinstance(leaf, Threshold):
        return ""
    kind = leaf.reading.partition("/")[0]
    if kind == LATENCY and responses:
        target = choose(rule.use, ladder, policy).point
        value = responses[0].bound[target]
        # Slower than calibrated is usual, faster is not: a value that is to be exceeded will be.
        if leaf.side is Side.ABOVE and not limits.ends(value):
            return f"{target}, which it uses, takes {amount(value, LATENCY)} (p95)"
        return ""
    if device is None or kind not in {POWER, TEMPERATURE} or leaf.side is Side.BELOW:
        return ""
    idle = device.idle_w if kind == POWER else _warm(device.idle_w, device)
    if limits.ends(idle):
        return ""
    at = "" if kind == POWER else f" in surroundings of {device.ambient_c:g} C"
    return f"{device.name} {_shown(leaf, idle)}{at} without answering anything"


def _instead(
    leaf: Leaf,
    positive: bool,
    limits: _Limits,
    responses: Sequence[_Response],
    rule: Rule,
    policy: Policy,
    ladder: Ladder,
    device: Device | None,
) -> str:
    """The line to write in place of a rule that flaps."""
    kind = leaf.reading.partition("/")[0]
    if not isinstance(leaf, Threshold) or not positive or leaf.side is Side.BELOW:
        return "choose a point at which the rule's condition still holds"
    if kind == LATENCY and any(limits.begins(ms) for ms in responses[0].free.values()):
        line = f"goals: {{latency_p95: {_plain(leaf.enter)} ms}}"
        return f"write `{line}` in place of the rule: it keeps to the points that are fast enough"
    unit = {POWER: "W", LATENCY: "ms"}.get(kind, "C")
    # Once the reading is there, the load has fallen so far that the point before would not begin the rule.
    held = [
        min(response.bound[name] for name in way[1:])
        for response in responses
        for way in _ways(rule, policy, ladder, response, leaf.reading)
        if any(limits.begins(response.free[name]) for name in way[:-1])
    ]
    until = math.floor(min(held, default=leaf.leave) * 10.0 - 1e-6) / 10.0
    idle = 0.0
    if device is not None and kind != LATENCY:
        idle = device.idle_w if kind == POWER else _warm(device.idle_w, device)
    lines = []
    if idle < until < leaf.leave:
        line = f"{kind}: {{above: {_plain(leaf.enter)} {unit}, until: {_plain(until)} {unit}}}"
        lines.append(f"`{line}`, reached only once the point before would do again")
    if kind == TEMPERATURE:
        lines.append(f"`goals: {{temperature_ceiling: {_plain(leaf.enter)} C}}` in place of the rule")
    return f"write {' or '.join(lines)}" if lines else "choose the point that is used without the rule"


def _memory(leaf: Leaf, rule: Rule, policy: Policy, ladder: Ladder, mark: Mark) -> Iterator[Problem]:
    """A switch that frees more memory than lies between the enter and the leave value ends its own rule."""
    if not isinstance(leaf, Threshold) or leaf.side is Side.ABOVE:
        return
    sizes = {point.name: point.figures.weights_resident_bytes for point in ladder.points}
    target = choose(rule.use, ladder, policy).point
    uses = (policy.default, *(each.use for each in policy.rules if each is not rule))
    start = max((choose(use, ladder, policy).point for use in uses), key=lambda name: sizes[name])
    freed = sizes[start] - sizes[target]
    if freed <= leaf.leave - leaf.enter or freed <= 0:
        return
    held, left, gap = (
        amount(float(size), MEMORY_AVAILABLE) for size in (sizes[start], sizes[target], leaf.leave - leaf.enter)
    )
    said = f"{start} holds {held} of weights and {target} {left}: the switch frees more than the {gap} that end it"
    until_mib = math.floor((leaf.enter + freed) / (1 << 20)) + 1
    enter_mib = leaf.enter / (1 << 20)
    hint = f"write `memory_available: {{below: {_plain(enter_mib)} MiB, until: {until_mib} MiB}}`"
    yield Problem(mark, leaf.path, f"warning: rule '{rule.name}' flaps", said, hint=hint)


def _plain(value: float) -> str:
    return f"{value:.6g}"
