"""The voltages and currents of a Raspberry Pi 5's power chip, from `pmic_read_adc`."""

import re
from collections.abc import Mapping

_LINE = re.compile(r"^\s*(\w+?)_([AV]) (current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)([AV])\s*$", re.MULTILINE)
_MOST_V, _MOST_A = 30.0, 20.0
INPUT = "EXT5V"


def parse(text: str) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Volts and amperes by rail. Raises ValueError when there are none, or one can't be true."""
    volts: dict[str, float] = {}
    amperes: dict[str, float] = {}
    for rail, kind, quantity, number, unit in _LINE.findall(text):
        if (kind, quantity, unit) not in (("V", "volt", "V"), ("A", "current", "A")):
            raise ValueError(f"{rail} is given as {quantity} in {unit}")
        value = float(number)
        if not 0 <= value <= (_MOST_V if kind == "V" else _MOST_A):
            raise ValueError(f"{rail} says {value:g} {unit}")
        (volts if kind == "V" else amperes)[rail] = value
    if not volts or not amperes:
        raise ValueError(f"no rails in {text[:60]!r}")
    return volts, amperes


def rails_w(text: str) -> Mapping[str, float]:
    """The power of every rail that has both, in W. Raises ValueError."""
    volts, amperes = parse(text)
    return {rail: volts[rail] * amperes[rail] for rail in sorted(volts.keys() & amperes.keys())}
