"""What a recorded device must say, as lines beside its recording.

`#= NAME = VALUE` is what must be read, `#= NAME ! WORDS` has no value and a reason with those words
(without words none is needed), and `#= NAME -` must not be read at all.
"""

import re
from collections.abc import Iterable, Mapping

import pytest

from tidegate_drivers.reading import Value
from tidegate_drivers.survey import DriverReport

_LINE = re.compile(r"^#= (.+?) ([=!-])(?: (.+))?$", re.MULTILINE)


def merged(reports: Iterable[DriverReport]) -> tuple[dict[str, Value], dict[str, str]]:
    """The value of each name, of the first driver that has one, and every reason why not, joined by name."""
    values: dict[str, Value] = {}
    reasons: dict[str, str] = {}
    for report in reports:
        for name, reading in report.readings.items():
            if reading.value is not None:
                values.setdefault(name, reading.value)
            else:
                reasons[name] = reasons.get(name, "") + reading.reason
        for missing in report.unavailable:
            reasons[missing.name] = reasons.get(missing.name, "") + missing.reason
    return values, reasons


def unmet(text: str, values: Mapping[str, Value], reasons: Mapping[str, str]) -> list[str]:
    """The lines of `text` that don't hold; fails where there is none, or one that is not understood."""
    lines = _LINE.findall(text)
    assert len(lines) == text.count("#=") > 0
    wrong: list[str] = []
    for name, sign, wanted in lines:
        value, reason = values.get(name), reasons.get(name, "")
        if sign == "=":
            right = value == pytest.approx(float(wanted)) if isinstance(value, float) else value == wanted
        elif sign == "!":
            right = value is None and wanted in reason
        else:
            right = value is None and not reason
        if not right:
            wrong.append(f"{name} {sign} {wanted}: says {value} {reason}")
    return wrong
