"""Why a condition holds or does not, in words."""

from tidegate.policy.conditions import SETTLED_S, Evaluation, number, rank_of
from tidegate.policy.policy import AllOf, AnyOf, Assumption, Condition, Equals, Level, Not, Side, Threshold, Window
from tidegate.policy.readings import UNITS
from tidegate_drivers.reading import Freshness, Unit

_MEBIBYTE = 1 << 20


def because(evaluation: Evaluation, condition: Condition, truth: bool = True) -> str:
    """Why a condition has this truth value, as a clause: `battery 18 % is below 20 % on battery power`."""
    match condition:
        case Not(part):
            return because(evaluation, part, not truth)
        case AnyOf(parts) | AllOf(parts):
            clauses = [because(evaluation, part, truth) for part in parts if evaluation.truth(part) is truth]
            return _joined(clauses)
        case Window():
            return window_clause(condition, truth)
        case Threshold():
            return _threshold_clause(evaluation, condition, truth)
        case Level():
            return _level_clause(evaluation, condition, truth)
        case Equals():
            return _word_clause(evaluation, condition)


def window_clause(window: Window, truth: bool = True) -> str:
    """A window in words, or its negation: `within 'NAME'`, or `between HH:MM and HH:MM`."""
    times = f"between {window.between.start:%H:%M} and {window.between.end:%H:%M}"
    named = f"within '{window.name}'" if window.name else times
    return named if truth else f"not {named}"


def missing(evaluation: Evaluation, reading: str) -> str:
    """How a missing reading is put: `temperature is stale, assumed hot`."""
    state = "stale" if evaluation.snapshot.freshness(reading) is Freshness.STALE else "unavailable"
    assumption = evaluation.assumption(reading)
    answer = "ignored" if assumption is Assumption.IGNORE else assumption.value.replace("assume_", "assumed ")
    return f"{name_of(reading)} is {state}, {answer}"


def amount(value: float, reading: str) -> str:
    """A value with its unit, for sentences."""
    unit = UNITS.get(reading.partition("/")[0], Unit.NAME)
    if unit is Unit.BYTE:
        return f"{value / _MEBIBYTE:.4g} MiB"
    return f"{value:.4g} {'' if unit is Unit.COUNT else unit}".rstrip()


def name_of(reading: str) -> str:
    """A reading's name in sentences: `temperature (gpu-thermal)`."""
    kind, _, instance = reading.partition("/")
    return kind.replace("_", " ") + (f" ({instance})" if instance else "")


def _threshold_clause(evaluation: Evaluation, leaf: Threshold, truth: bool) -> str:
    value = number(evaluation.snapshot, leaf.reading)
    if value is None:
        return missing(evaluation, leaf.reading)
    is_now = f"{name_of(leaf.reading)} {amount(value, leaf.reading)}"
    if truth and leaf.path not in evaluation.holding:
        return f"{is_now} is back, but not for {SETTLED_S:g} s yet"
    enter, leave = amount(leaf.enter, leaf.reading), amount(leaf.leave, leaf.reading)
    if leaf.path in evaluation.unconfirmed:
        return f"{is_now} has jumped and waits for a second reading"
    beyond = value > leaf.enter if leaf.side is Side.ABOVE else value < leaf.enter
    if truth and not beyond:
        moved = "rose above" if leaf.side is Side.ABOVE else "fell below"
        return f"{is_now} {moved} {enter} and is not back at {leave} yet"
    if not truth and beyond:
        return f"{is_now} is {leaf.side} {enter} but not for {leaf.for_s:g} s yet"
    lasting = f" for {leaf.for_s:g} s" if truth and leaf.for_s else ""
    return f"{is_now} is {'' if truth else 'not '}{leaf.side} {enter}{lasting}"


def _level_clause(evaluation: Evaluation, leaf: Level, truth: bool) -> str:
    rank = rank_of(leaf, evaluation.snapshot)
    if rank is None:
        return missing(evaluation, leaf.reading)
    is_now = f"{name_of(leaf.reading)} is {leaf.scale[rank]}"
    if leaf.path in evaluation.unconfirmed:
        return f"{is_now}, has jumped and waits for a second reading"
    if not truth:
        return f"{is_now}, below {leaf.enter}"
    if leaf.path not in evaluation.holding:
        return f"{is_now}, but not for {SETTLED_S:g} s since it is back"
    if rank < leaf.scale.index(leaf.enter):
        return f"{is_now}, was {leaf.enter} or worse and is not back at {leaf.leave} yet"
    return is_now if leaf.scale[rank] == leaf.enter else f"{is_now}, worse than {leaf.enter}"


def _word_clause(evaluation: Evaluation, leaf: Equals) -> str:
    word = evaluation.snapshot.word(leaf.reading)
    if word is None:
        return missing(evaluation, leaf.reading)
    if leaf.path in evaluation.unconfirmed:
        return f"{name_of(leaf.reading)} is {word} and waits for a second reading"
    return f"on {word} power" if leaf.reading == "power_source" else f"{name_of(leaf.reading)} is {word}"


def _joined(clauses: list[str]) -> str:
    unique = list(dict.fromkeys(clauses))
    facts = [clause for clause in unique if not clause.startswith("on ")]
    powers = [clause for clause in unique if clause.startswith("on ")]
    return " ".join([" and ".join(facts), *powers]).strip()
