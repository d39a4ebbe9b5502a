"""Quantities with units, such as `80 C`: text in documents, floats in base units inside."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from agent.documents import refuse


@dataclass(frozen=True, slots=True)
class Dimension:
    """One kind of quantity: its units with their size in the base unit, and the range that makes sense."""

    noun: str
    example: str
    units: Mapping[str, Decimal]
    least: float = 0.0
    most: float = math.inf

    @property
    def allowed(self) -> str:
        """What to write, for error messages."""
        return "a number followed by " + " or ".join(self.units)


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

PERCENT = Dimension("percentage", "20 %", _PERCENT, most=100.0)
SHARE = Dimension("percentage", "1.5 %", _SHARE, most=1.0)
TEMPERATURE = Dimension("temperature", "80 C", _CELSIUS, least=-100.0, most=200.0)
POWER = Dimension("power", "3 W", _WATT, most=1e6)
MEMORY = Dimension("amount of memory", "512 MiB", _BYTE, most=1e15)
DURATION = Dimension("duration", "30 s", _SECOND, most=3.2e9)

_DIMENSIONS = (PERCENT, TEMPERATURE, POWER, MEMORY, DURATION)
_QUANTITY = re.compile(r"([-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))\s*(\S*)")


def quantity(value: object, dimension: Dimension) -> float:
    """The quantity in the dimension's base unit: percent, share 0..1, C, W, bytes, s.

    Raises the error of `agent.documents.refuse` that says what is allowed, for anything but text such as `80 C`.
    """
    hint = f"for example `{dimension.example}`"
    if isinstance(value, int | float) and not isinstance(value, bool):
        unit = dimension.example.split()[1]
        raise refuse(
            f"a {dimension.noun} needs its unit", allowed=dimension.allowed, hint=f"write `{value} {unit}`"
        )
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse(f"expected a {dimension.noun}", allowed=dimension.allowed, hint=hint)
    number, unit = match.groups()
    if unit not in dimension.units:
        raise _wrong_unit(unit, dimension, hint)
    base = float(Decimal(number) * dimension.units[unit])
    if not dimension.least <= base <= dimension.most:
        low, high = (
            f"{float(Decimal(bound) / dimension.units[unit]):.15g} {unit}" for bound in _bounds(dimension)
        )
        raise refuse(f"a {dimension.noun} out of range", allowed=f"{low} to {high}")
    return base


def _bounds(dimension: Dimension) -> tuple[str, str]:
    return str(dimension.least), str(dimension.most)


def _wrong_unit(unit: str, dimension: Dimension, hint: str) -> Exception:
    if not unit:
        return refuse(f"a {dimension.noun} needs its unit", allowed=dimension.allowed, hint=hint)
    meant = next((other.noun for other in _DIMENSIONS if unit in other.units), "")
    if meant:
        return refuse(f"expected a {dimension.noun}, this is a {meant}", allowed=dimension.allowed, hint=hint)
    nearest = next((known for known in dimension.units if known.lower() == unit.lower()), "")
    return refuse(f"unknown unit for a {dimension.noun}", allowed=dimension.allowed, nearest=nearest, hint=hint)


def _in(dimension: Dimension) -> BeforeValidator:
    parse: Callable[[object], float] = lambda value: quantity(value, dimension)  # noqa: E731 - typed for mypy
    return BeforeValidator(parse)


Percent = Annotated[float, _in(PERCENT)]
Share = Annotated[float, _in(SHARE)]
Temperature = Annotated[float, _in(TEMPERATURE)]
Power = Annotated[float, _in(POWER)]
Memory = Annotated[float, _in(MEMORY)]
Duration = Annotated[float, _in(DURATION)]
