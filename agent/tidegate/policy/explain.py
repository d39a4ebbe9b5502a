"""A decision explained: which rule holds, what holds others back, what would change it; as data and sentences."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from tidegate.models.ladder import Ladder
from tidegate.policy.clauses import amount, because, missing, name_of, window_clause
from tidegate.policy.conditions import Evaluation, number
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import (
    AllOf,
    AnyOf,
    Condition,
    Equals,
    Full,
    Level,
    Not,
    Policy,
    Rule,
    Side,
    Threshold,
    Window,
    leaves_of,
)
from tidegate_drivers.reading import Snapshot


class RuleState(StrEnum):
    """Whether a rule is in force, and if not, what keeps it from being in force."""

    IN_FORCE = "in_force"
    HELD_BY_LEAVE_VALUE = "held_by_leave_value"
    BEHIND_ANOTHER = "behind_another"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    NOT_HOLDING = "not_holding"


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """One rule: how it stands, why, and what would turn it around; `changes` are conditions that each would do."""

    name: str
    state: RuleState
    because: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ControlExplained:
    """A setting of the device that the decision wants; `obstacle` is why it is not made, empty where it is.

    None where nobody can tell: on the desk there is no device.
    """

    name: str
    value: str
    obstacle: str | None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a running agent knows beside the policy: why settings are not made, and points are off the ladder."""

    obstacles: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision, and how every rule stands, in the policy's order; `sentences` say the same for a person."""

    point: str
    wanted: str
    rule: str | None
    reason: str
    held_back: tuple[str, ...]
    rules: tuple[RuleExplained, ...]
    controls: tuple[ControlExplained, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()


def explain(
    snapshot: Snapshot,
    policy: Policy,
    ladder: Ladder,
    state: ControlState,
    now: datetime,
    device: Circumstances | None = None,
) -> Explanation:
    """What `decide` makes of the same, and what would change it; `device` is None on the desk. Pure and total."""
    decision = decide(snapshot, policy, ladder, state, now)
    evaluation = Evaluation(policy, snapshot, state, now)
    in_force = next((rule for rule in policy.rules if rule.name == decision.rule), None)
    rules = tuple(_rule(rule, evaluation, in_force) for rule in policy.rules)
    controls = tuple(
        ControlExplained(name, value, None if device is None else device.obstacles.get(name, ""))
        for name, value in decision.controls.items()
    )
    explanation = Explanation(
        decision.point,
        decision.wanted,
        decision.rule,
        decision.reason,
        decision.held_back,
        rules,
        controls,
        {} if device is None else device.left_out,
    )
    return replace(explanation, sentences=tuple(_sentences(explanation)))


def _rule(rule: Rule, evaluation: Evaluation, in_force: Rule | None) -> RuleExplained:
    in_time = rule.between is None or rule.between.between.holds(evaluation.moment)
    truth = evaluation.truth(rule.when) if rule.when is not None else True
    if not in_time and rule.between is not None:
        why, opens = window_clause(rule.between, truth=False), _window_change(rule.between, to=True)
        return RuleExplained(rule.name, RuleState.NOT_HOLDING, why, (opens,))
    standing = RuleState.IN_FORCE if rule is in_force else RuleState.BEHIND_ANOTHER
    if rule.when is None:
        if rule.between is None:
            return RuleExplained(rule.name, standing, "the rule always holds", ())
        closes = _window_change(rule.between, to=False)
        return RuleExplained(rule.name, standing, window_clause(rule.between), (closes,))
    if truth is None:
        unknown = dict.fromkeys(leaf.reading for leaf in _leaves_unknown(rule.when, evaluation))
        why = " and ".join(missing(evaluation, reading) for reading in unknown)
        back = tuple(f"{name_of(each)} is read again" for each in unknown)
        return RuleExplained(rule.name, RuleState.UNKNOWN, why, back)
    changes = tuple(_changes(rule.when, evaluation, to=not truth))
    if truth:
        held = rule is in_force and _only_held(rule.when, evaluation)
        state = RuleState.HELD_BY_LEAVE_VALUE if held else standing
        return RuleExplained(rule.name, state, because(evaluation, rule.when), changes)
    waits = [wait for leaf in leaves_of(rule.when) if (wait := evaluation.waiting_s(leaf)) is not None]
    state = RuleState.WAITING if waits else RuleState.NOT_HOLDING
    return RuleExplained(rule.name, state, because(evaluation, rule.when, truth=False), changes)


def _leaves_unknown(condition: Condition, evaluation: Evaluation) -> list[Threshold | Level | Equals]:
    return [leaf for leaf in leaves_of(condition) if evaluation.truths[leaf.path] is None]


def _only_held(condition: Condition, evaluation: Evaluation) -> bool:
    """Whether it would not begin now: only leave values not reached keep it."""
    fresh = Evaluation(
        Policy("fresh", 1, 1.0, (Rule("fresh", Full(), condition),), on_missing=evaluation.on_missing),
        evaluation.snapshot,
        ControlState(""),
        evaluation.moment,
    )
    return fresh.truth(condition) is not True


def _changes(condition: Condition, evaluation: Evaluation, *, to: bool) -> list[str]:
    """What would make the condition `to`: clauses of which each alone would do, or one that joins all needed."""
    match condition:
        case Not(part):
            return _changes(part, evaluation, to=not to)
        case AnyOf(parts) | AllOf(parts):
            each_does = isinstance(condition, AnyOf) is to
            wrong = [part for part in parts if evaluation.truth(part) is not to]
            options = [_changes(part, evaluation, to=to) for part in wrong]
            if each_does:
                return [clause for clauses in options for clause in clauses]
            return [" and ".join(" or ".join(clauses) for clauses in options)] if options else []
        case _:
            return [_leaf_change(condition, evaluation, to=to)]


def _leaf_change(leaf: Threshold | Level | Equals | Window, evaluation: Evaluation, *, to: bool) -> str:
    if leaf.path in evaluation.unconfirmed:
        return f"the next reading of {name_of(leaf.reading)} says the same"  # type: ignore[union-attr]  # no window is
    match leaf:
        case Threshold():
            return _threshold_change(leaf, evaluation, to=to)
        case Level():
            level = f"{leaf.enter} or worse" if to else f"{leaf.leave} or better"
            return f"{name_of(leaf.reading)} is {level}"
        case Equals():
            return f"{name_of(leaf.reading)} is {leaf.word if to else f'not {leaf.word}'}"
        case Window():
            return _window_change(leaf, to=to)


def _threshold_change(leaf: Threshold, evaluation: Evaluation, *, to: bool) -> str:
    value = number(evaluation.snapshot, leaf.reading)
    now = "" if value is None else f" (now {amount(value, leaf.reading)})"
    name = name_of(leaf.reading)
    settling = evaluation.settling_s(leaf)
    if not to and settling is not None:
        return f"{name} stays readable for another {settling:.0f} s"
    if to:
        waiting = evaluation.waiting_s(leaf)
        if waiting is not None:
            return f"{name} stays {leaf.side} {amount(leaf.enter, leaf.reading)} for another {waiting:.0f} s"
        lasting = f" for {leaf.for_s:g} s" if leaf.for_s else ""
        return f"{name} is {leaf.side} {amount(leaf.enter, leaf.reading)}{lasting}{now}"
    towards = "falls to" if leaf.side is Side.ABOVE else "rises to"
    return f"{name} {towards} {amount(leaf.leave, leaf.reading)}{now}"


def _window_change(window: Window, *, to: bool) -> str:
    return f"the time is {'' if to else 'not '}{window_clause(window)}"


def _sentences(explanation: Explanation) -> list[str]:
    force = f"rule '{explanation.rule}' is in force" if explanation.rule is not None else "no rule is in force"
    said = [f"The operating point is {explanation.point}: {force}, because {explanation.reason}."]
    said += [f"{clause[0].upper()}{clause[1:]}." for clause in explanation.held_back]
    said += [_control_sentence(control) for control in explanation.controls]
    # An engine's own reason begins with the point's name.
    reasons = {point: why.removeprefix(f"{point}: ") for point, why in explanation.left_out.items()}
    said += [f"{point} is off the ladder: {why}." for point, why in reasons.items()]
    reached = False
    for rule in explanation.rules:
        change = "; or when ".join(rule.changes)
        match rule.state:
            case RuleState.IN_FORCE | RuleState.HELD_BY_LEAVE_VALUE:
                reached = True
                if rule.state is RuleState.HELD_BY_LEAVE_VALUE:
                    said.append(f"'{rule.name}' would not begin now; its leave value is not reached yet.")
                said.append(
                    f"'{rule.name}' ends when {change}." if change else f"'{rule.name}' does not end by itself."
                )
            case RuleState.BEHIND_ANOTHER:
                said.append(f"'{rule.name}' holds too, after it: {rule.because}.")
            case RuleState.UNKNOWN:
                said.append(f"'{rule.name}' can't be known: {rule.because}.")
            case _:
                then = "would hold after it" if reached else "would take over"
                said.append(f"'{rule.name}' {then} when {change}.")
    return said


def _control_sentence(control: ControlExplained) -> str:
    # Of the settings only frequencies are numbers: in kHz, as the kernel takes them.
    value = f"{int(control.value) / 1000:g} MHz" if control.value.isdecimal() else control.value
    match control.obstacle:
        case None:
            return f"{control.name} is to be {value}, where agent.yaml lists it under `controls`."
        case "":
            return f"{control.name} is to be {value}."
        case obstacle:
            return f"{control.name} would be {value}, but {obstacle}."
