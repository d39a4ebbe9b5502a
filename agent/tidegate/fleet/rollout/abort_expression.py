"""Reads an abort rule from `--abort-if`: `refused > 0, worse > 1 %, latency_p95 > before + 20 %, ...`. Pure."""

import difflib
import re

from pydantic_core import PydanticCustomError

from tidegate.errors import EX_USAGE, TidegateError
from tidegate.fleet.rollout.abort_rule import COUNTED, DEFAULT, CountLimit, Limit, MeasureLimit, Rule, WorseLimit
from tidegate.fleet.rollout.measured import MEASURES, Measure
from tidegate.quantities.units import quantity

WORSE = "worse"
NAMES = (*COUNTED, WORSE, *MEASURES)
_OTHER_WORDS = {
    "latency": "latency_p95",
    "p95": "latency_p95",
    "energy": "energy_per_answer",
    "joules_per_answer": "energy_per_answer",
    "j_per_answer": "energy_per_answer",
    "temp": "temperature",
    "restarts": "worker_restarts",
    "failed": "failed_requests",
    "errors": "failed_requests",
    "disagreement": WORSE,
    "rollback": "rolled_back",
    "rollbacks": "rolled_back",
    "demotions": "demoted",
    "offline": "silent",
}
_SHOWN_CHARACTERS = 80
_LIMIT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(>=|<=|=>|≥|≤|>|<|==|=|:)?\s*(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(%?)")
_BEFORE = re.compile(r"before\s*(?:\+\s*(.*))?", re.DOTALL)
_ON = re.compile(r"(.*?)\s+on\s+(.*)", re.DOTALL)


class AbortRuleError(TidegateError):
    """A text that is no abort rule; the message says what was found, what is allowed, and the line to write."""

    exit_code = EX_USAGE


def parse_rule(text: str) -> Rule:
    """The limits in a text, with commas between, one of each kind for a name. Raises AbortRuleError."""
    parts = text.split(",")
    rule = tuple(_limit(part) for part in parts)
    said: dict[tuple[str, bool, bool], str] = {}
    for part in parts:
        found = _LIMIT.fullmatch(part)
        name, rest = (found[1], found[3]) if found is not None else (part, "")
        kind = name, "before" in rest, _ON.fullmatch(rest) is not None
        if kind in said:
            raise _wrong(part, f"{name} has such a limit already: {_shown(said[kind])}", "write one of the two")
        said[kind] = part
    return rule


def _limit(part: str) -> Limit:
    found = _LIMIT.fullmatch(part)
    if found is None:
        raise _wrong(part, f"allowed is NAME > NUMBER, NAME one of {', '.join(NAMES)}", f"write `{DEFAULT}`")
    name, sign, rest = found.groups()
    if name not in NAMES:
        near = _OTHER_WORDS.get(name.lower()) or next(iter(difflib.get_close_matches(name.lower(), NAMES, 1)), "")
        hint = f"write `{near} {sign or '>'} {rest or '...'}`" if near else f"for example `{DEFAULT}`"
        raise _wrong(part, f"allowed is NAME > NUMBER, NAME one of {', '.join(NAMES)}", hint)
    example = _example(name)
    if sign != ">" or not rest:
        mended = f"{name} > {rest}" if rest and _reads(f"{name} > {rest}") else example
        raise _wrong(part, "allowed is NAME > NUMBER: the most that may be, and what is above it halts", mended)
    if name in COUNTED:
        return _count_limit(part, name, rest, example)
    if name == WORSE:
        margin = _number(part, rest, example)
        if not margin[1] or not 0 < margin[0] <= 50:
            written = f"worse > {margin[0]:g} %" if 0 < margin[0] <= 50 else example
            raise _wrong(part, "allowed is a percentage of the answers, above 0 % and up to 50 %", written)
        return WorseLimit(margin[0] / 100)
    return _measure_limit(part, MEASURES[name], rest, example)


def _count_limit(part: str, name: str, rest: str, example: str) -> CountLimit:
    most, percent = _number(part, rest, example)
    if percent and most > 100:
        raise _wrong(part, "allowed is up to 100 % of the devices", example)
    if not percent and most != int(most):
        raise _wrong(part, "devices are counted in whole numbers", f"{name} > {most:.0f}` or `{name} > {most:g} %")
    return CountLimit(name, most, percent)


def _measure_limit(part: str, measure: Measure, rest: str, example: str) -> MeasureLimit:
    devices_percent = 0.0
    if (on := _ON.fullmatch(rest)) is not None:
        rest, share = on.groups()
        devices_percent, percent = _number(part, share, f"{measure.name} > {rest} on 10 %")
        if not percent or devices_percent >= 100:
            raise _wrong(part, "`on` takes a share of the devices below 100 %", f"{measure.name} > {rest} on 10 %")
    written = " ".join(part.split())
    if (before := _BEFORE.fullmatch(rest)) is not None:
        if measure.name not in _RELATIVE:
            allowed = f"`before` is for {' and '.join(_RELATIVE)}, of which a share makes sense"
            raise _wrong(part, allowed, example)
        share_text = (before[1] or "0 %").strip()
        more, percent = _number(part, share_text, f"{measure.name} > before + 20 %")
        if not percent:
            mended = f"{measure.name} > before + {more:g} %"
            raise _wrong(part, "what may be added to `before` is a percentage", mended)
        return MeasureLimit(measure, written, None, 1 + more / 100, devices_percent)
    if measure.dimension is None:
        most, percent = _number(part, rest, example)
        if percent or most != int(most):
            raise _wrong(part, "allowed is a whole number", f"{measure.name} > {most:.0f}")
        return MeasureLimit(measure, written, most, None, devices_percent)
    share = _NUMBER.fullmatch(rest)
    if measure.name in _RELATIVE and share is not None and share[2]:
        more = float(share[1]) % 100
        raise _wrong(
            part, "a percentage is of what the device had before", f"{measure.name} > before + {more or 20:g} %"
        )
    try:
        bound = quantity(rest, measure.dimension)
    except PydanticCustomError as error:
        context = error.context or {}
        hint = context.get("nearest") and f"did you mean {context['nearest']}?"
        hint = hint or context.get("hint") or f"write `{example}`"
        said = f"{context.get('message')}, allowed is {context.get('allowed')}; {hint}"
        raise AbortRuleError(f"--abort-if: found {_shown(part)}: {said}") from None
    return MeasureLimit(measure, written, bound, None, devices_percent)


def _number(part: str, text: str, example: str) -> tuple[float, bool]:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise _wrong(part, "allowed behind > is a number, with % for a share", example)
    return float(found[1]), bool(found[2])


def _reads(text: str) -> bool:
    try:
        parse_rule(text)
    except AbortRuleError:
        return False
    return True


def _example(name: str) -> str:
    if name in COUNTED:
        return f"{name} > {'20 %' if name in {'silent', 'demoted'} else '0'}"
    if name == WORSE:
        return "worse > 1 %"
    dimension = MEASURES[name].dimension
    return f"{name} > {'0' if dimension is None else dimension.example}"


def _shown(part: str) -> str:
    text = part.strip()
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")


_RELATIVE = ("latency_p95", "energy_per_answer")


def _wrong(part: str, allowed: str, hint: str) -> AbortRuleError:
    said = hint if hint.startswith(("write", "for example")) else f"write `{hint}`"
    return AbortRuleError(f"--abort-if: found {_shown(part)}; {allowed}; {said}")
