"""Quantities with units, such as `80 C`: text in documents, floats in base units inside."""

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

from tidegate.documents import refuse
from tidegate.quantities.dimension import Dimension
from tidegate.quantities.hints import bare_number, decimal_comma, other_spelling, which

LIMITS = "limits"
"""The key of the validation context that holds the board's limits as written: `{"throttle": "85 C"}`."""


_PERCENT = {"%": Decimal(1)}
_SHARE = {"%": Decimal("0.01")}
_CELSIUS = {"C": Decimal(1), "°C": Decimal(1)}
_WATT = {"W": Decimal(1), "mW": Decimal("0.001"), "kW": Decimal(1000)}
_BYTE = {
    "B": Decimal(1),
    "KiB": Decimal(1 << 10),
    "MiB": Decimal(1 << 20),
    "GiB": Decimal(1 << 30),
    "kB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
}
_SECOND = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}

PERCENT = Dimension("percentage", "20 %", _PERCENT, most=100.0, usual=(0.05, 100.0))
SHARE = Dimension("percentage", "1.5 %", _SHARE, most=1.0, usual=(0.0005, 1.0))
TEMPERATURE = Dimension("temperature", "80 C", _CELSIUS, least=-100.0, most=200.0)
POWER = Dimension("power", "3 W", _WATT, most=1e6, usual=(0.05, 1e3))
MEMORY = Dimension("amount of memory", "512 MiB", _BYTE, most=1e15, usual=(64 << 10, 1 << 40))
DURATION = Dimension("duration", "30 s", _SECOND, most=3.2e9, usual=(0.1, 30 * 86_400.0))
LATENCY = Dimension(
    "duration", "50 ms", {unit: size * 1000 for unit, size in _SECOND.items()}, most=3.6e6, usual=(0.1, 1e4)
)
RATE = Dimension("rate", "5 Hz", {"Hz": Decimal(1), "/s": Decimal(1), "mHz": Decimal("0.001")}, most=1e6)
FREQUENCY = Dimension(
    "frequency",
    "1200 MHz",
    {"MHz": Decimal(1000), "GHz": Decimal(10**6), "kHz": Decimal(1)},
    least=1.0,
    most=2e7,
    usual=(5e4, 1e7),
)
ENERGY = Dimension(
    "energy",
    "20 Wh",
    {"Wh": Decimal(3600), "mWh": Decimal("3.6"), "kWh": Decimal(3_600_000), "J": Decimal(1)},
    most=1e12,
    usual=(360.0, 1.8e7),
)

_DIMENSIONS = (PERCENT, TEMPERATURE, POWER, MEMORY, DURATION, RATE, FREQUENCY, ENERGY)
_NAMED = re.compile(r"board\.([A-Za-z0-9_]{1,40})(?:\s*([-+])\s*(.*))?")
_QUANTITY = re.compile(r"([-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))\s*(\S*)")


def quantity(value: object, dimension: Dimension, limits: Mapping[str, str] | None = None) -> float:
    """The quantity in the dimension's base unit: percent, share 0..1, C, W, bytes, s, ms for latencies, Hz,
    kHz for frequencies, J.

    `board.NAME`, with `+` or `-` a quantity behind it if need be, is a limit of the board's profile.
    Raises the error of `documents.refuse` that says what is allowed, for anything but text such as `80 C`.
    """
    hint = f"for example `{dimension.example}`"
    if isinstance(value, int | float) and not isinstance(value, bool):
        message = f"{dimension.one} needs its unit"
        bare = Decimal(str(value)) if math.isfinite(value) else None
        raise refuse(message, allowed=dimension.allowed, hint=bare_number(bare, dimension))
    if isinstance(value, str) and (named := _NAMED.fullmatch(value.strip())) is not None:
        return _in_range(_from_limit(named, dimension, limits), dimension, "")
    meant = decimal_comma(value, dimension) if isinstance(value, str) else ""
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) and not meant else None
    if match is None:
        raise refuse(f"expected {dimension.one}", allowed=dimension.allowed, hint=meant or hint)
    number, unit = match.groups()
    if unit not in dimension.units:
        raise _wrong_unit(Decimal(number), unit, dimension, hint)
    return _in_range(float(Decimal(number) * dimension.units[unit]), dimension, unit)


def _in_range(base: float, dimension: Dimension, unit: str) -> float:
    if not dimension.least <= base <= dimension.most:
        unit = unit or next(iter(dimension.units))
        low, high = (
            f"{float(Decimal(bound) / dimension.units[unit]):.15g} {unit}" for bound in _bounds(dimension)
        )
        raise refuse(f"{dimension.one} out of range", allowed=f"{low} to {high}")
    return base


def _from_limit(named: re.Match[str], dimension: Dimension, limits: Mapping[str, str] | None) -> float:
    name, sign, rest = named.groups()
    if limits is None:
        hint = "name the board: `board:` in agent.yaml, `--board` on the command line"
        raise refuse("a limit of the board, and no board profile is given", hint=hint)
    if name not in limits:
        near = next(iter(difflib.get_close_matches(name, limits, 1)), "")
        known = ", ".join(f"board.{known}" for known in limits) or "this board's profile has no limits"
        raise refuse("the board's profile has no such limit", allowed=known, nearest=near and f"board.{near}")
    base = quantity(limits[name], dimension)
    return base if sign is None else base + float(f"{sign}1") * quantity(rest, dimension)


def _bounds(dimension: Dimension) -> tuple[str, str]:
    return str(dimension.least), str(dimension.most)


def _wrong_unit(number: Decimal, unit: str, dimension: Dimension, hint: str) -> Exception:
    if not unit:
        message = f"{dimension.one} needs its unit"
        return refuse(message, allowed=dimension.allowed, hint=bare_number(number, dimension))
    meant = next((other.one for other in _DIMENSIONS if unit in other.units), "")
    if meant:
        return refuse(f"expected {dimension.one}, this is {meant}", allowed=dimension.allowed, hint=hint)
    lines = other_spelling(number, unit, dimension)
    # `3 MW` is no slip of the shift key: the nearest unit but for case is a thousand million times less.
    nearest = next(
        (known for known in dimension.units if known.lower() == unit.lower() and known[0].lower() != "m"), ""
    )
    message = f"unknown unit for {dimension.one}"
    return refuse(message, allowed=dimension.allowed, nearest=nearest, hint=which(lines) or hint)


def _parsed(dimension: Dimension) -> BeforeValidator:
    def parse(value: object, info: ValidationInfo) -> float:
        return quantity(value, dimension, (info.context or {}).get(LIMITS))

    return BeforeValidator(parse)


def _shape(dimension: Dimension) -> WithJsonSchema:
    units = "|".join(re.escape(unit) for unit in dimension.units)
    pattern = rf"^\s*[-+]?[0-9.]+\s*({units})\s*$|^\s*board\."
    schema = {
        "type": "string",
        "pattern": pattern,
        "description": dimension.allowed,
        "examples": [dimension.example],
    }
    return WithJsonSchema(schema)


Percent = Annotated[float, _parsed(PERCENT), _shape(PERCENT)]
Share = Annotated[float, _parsed(SHARE), _shape(SHARE)]
Temperature = Annotated[float, _parsed(TEMPERATURE), _shape(TEMPERATURE)]
Power = Annotated[float, _parsed(POWER), _shape(POWER)]
Memory = Annotated[float, _parsed(MEMORY), _shape(MEMORY)]
Duration = Annotated[float, _parsed(DURATION), _shape(DURATION)]
Latency = Annotated[float, _parsed(LATENCY), _shape(LATENCY)]
Rate = Annotated[float, _parsed(RATE), _shape(RATE)]
Frequency = Annotated[float, _parsed(FREQUENCY), _shape(FREQUENCY)]
Energy = Annotated[float, _parsed(ENERGY), _shape(ENERGY)]
