"""How the arguments of a graph's nodes are read, for every converter."""

from collections.abc import Iterator, Sequence

from tidegate.engines.engine import UnsupportedPoint
from tidegate.models.graph import Argument


class Unconvertible(UnsupportedPoint):
    """An operator or argument that has no form in a runtime."""


def filled(arguments: Sequence[Argument], defaults: Sequence[Argument]) -> Iterator[Argument]:
    """Arguments, and defaults for those that are left out at the end."""
    yield from arguments
    yield from defaults[len(arguments) :]


def pair(value: Argument) -> list[int]:
    """Height and width from one number or two."""
    numbers = whole_numbers(value)
    return numbers * 2 if len(numbers) == 1 else numbers


def whole_numbers(value: Argument) -> list[int]:
    """One whole number or several. Raises Unconvertible."""
    match value:
        case int():
            return [value]
        case tuple() if all(isinstance(item, int) for item in value):
            return [item for item in value if isinstance(item, int)]
        case _:
            raise Unconvertible(f"{value!r} is not a list of whole numbers")


def number(value: Argument) -> float:
    """A number. Raises Unconvertible."""
    if isinstance(value, int | float):
        return float(value)
    raise Unconvertible(f"{value!r} is not a number")
