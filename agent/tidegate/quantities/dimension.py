"""Kinds of quantities: which units each is written in, and which numbers make sense."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Dimension:
    """One kind of quantity: its units with their size in the base unit, and the range that makes sense.

    `usual` is the range of what people write, in the base unit: which units a bare number may have been meant in.
    """

    noun: str
    example: str
    units: Mapping[str, Decimal]
    least: float = 0.0
    most: float = math.inf
    usual: tuple[float, float] = (-math.inf, math.inf)

    @property
    def one(self) -> str:
        """The noun with its article."""
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    @property
    def allowed(self) -> str:
        """What to write, for error messages."""
        return "a number followed by " + " or ".join(self.units)

    def holds(self, base: Decimal) -> bool:
        """Whether a quantity of this kind can have this size, in the base unit."""
        return Decimal(str(self.least)) <= base <= Decimal(str(self.most))
