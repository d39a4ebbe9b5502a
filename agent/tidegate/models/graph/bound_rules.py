"""The least and the largest value an operator can give, by its arguments; operator by operator, no torch here.

Of its operands only the sign counts: AA-ReLU and int8 move a value anywhere on its own side of zero, and what is
said here must hold whatever an operating point does to the values before.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tidegate.models.graph.arguments import Argument, Call, Ref


@dataclass(frozen=True, slots=True)
class Bounds:
    """No value is below `low` or above `high`; infinite where nothing is known."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def never_negative(self) -> bool:
        """Whether no value is below 0."""
        return self.low >= 0

    @property
    def never_positive(self) -> bool:
        """Whether no value is above 0."""
        return self.high <= 0

    @property
    def sign(self) -> "Bounds":
        """The bounds with all but the sign forgotten."""
        return Bounds(0.0 if self.never_negative else -math.inf, 0.0 if self.never_positive else math.inf)

    @property
    def negated(self) -> "Bounds":
        """The bounds of the values times -1."""
        return Bounds(-self.high, -self.low)

    def over(self, *others: "Bounds") -> "Bounds":
        """The bounds of values that keep to these or to any of the others."""
        every = (self, *others)
        return Bounds(min(each.low for each in every), max(each.high for each in every))


UNKNOWN = Bounds()
NEVER_NEGATIVE = Bounds(low=0.0)

Operand = Callable[[Argument], Bounds]
"""The sign of a tensor argument, the very value of a number."""
BoundRule = Callable[[Call, Operand], Bounds]


def _argument(call: Call, place: int, name: str, default: Argument = None) -> Argument:
    """An argument that may be given by place or by name."""
    return call.args[place] if place < len(call.args) else call.kwargs.get(name, default)


def _number(call: Call, place: int, name: str, default: float) -> float:
    """The same for a number; NaN, which bounds nothing, where something else is found."""
    value = _argument(call, place, name, default)
    return float(value) if isinstance(value, int | float) else math.nan


def unknown(_: Call, __: Operand) -> Bounds:
    return UNKNOWN


def same(call: Call, operand: Operand) -> Bounds:
    """Chooses, rearranges or averages values."""
    return operand(_argument(call, 0, "self"))


def always(low: float, high: float) -> BoundRule:
    def rule(_: Call, __: Operand) -> Bounds:
        return Bounds(low, high)

    return rule


def relu(call: Call, operand: Operand) -> Bounds:
    return Bounds(0.0, max(0.0, operand(_argument(call, 0, "self")).high))


def hardtanh(call: Call, operand: Operand) -> Bounds:
    low, high = _number(call, 1, "min_val", -1.0), _number(call, 2, "max_val", 1.0)
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    x = operand(_argument(call, 0, "self"))
    # The upper limit is applied last: where the two cross, everything becomes the upper one.
    return Bounds(min(max(x.low, low), high), min(max(x.high, low), high))


def tanh(call: Call, operand: Operand) -> Bounds:
    x = operand(_argument(call, 0, "self"))
    return Bounds(max(x.low, -1.0), min(x.high, 1.0))


def dips_to(least: float) -> BoundRule:
    """Below zero no lower than `least` and never positive, above zero between 0 and its operand."""

    def rule(call: Call, operand: Operand) -> Bounds:
        x = operand(_argument(call, 0, "self"))
        return Bounds(0.0 if x.never_negative else least, max(0.0, x.high))

    return rule


def gelu(call: Call, operand: Operand) -> Bounds:
    exact = _argument(call, 1, "approximate", "none") == "none"
    # -0.169971 near x = -0.7518, -0.170041 by the formula with tanh.
    return dips_to(-0.17 if exact else -0.1701)(call, operand)


def elu(call: Call, operand: Operand) -> Bounds:
    """scale * x above zero, scale * alpha * (exp(input_scale * x) - 1) below."""
    alpha = _number(call, 1, "alpha", 1.0)
    scale = _number(call, 2, "scale", 1.0)
    input_scale = _number(call, 3, "input_scale", 1.0)
    x = operand(_argument(call, 0, "self"))
    above = _times(Bounds(max(0.0, x.low), max(0.0, x.high)), Bounds(scale, scale))
    if x.never_negative:
        return above
    most = -scale * alpha if input_scale > 0 else scale * alpha * math.inf if input_scale < 0 else 0.0
    return UNKNOWN if math.isnan(most) else above.over(Bounds(min(0.0, most), max(0.0, most)))


def leaky_relu(call: Call, operand: Operand) -> Bounds:
    slope = _number(call, 1, "negative_slope", 0.01)
    x = operand(_argument(call, 0, "self"))
    below = _times(Bounds(min(0.0, x.low), min(0.0, x.high)), Bounds(slope, slope))
    return Bounds(max(0.0, x.low), max(0.0, x.high)).over(below)


def added(call: Call, operand: Operand) -> Bounds:
    return _sum(call, operand, _number(call, 2, "alpha", 1.0))


def difference(call: Call, operand: Operand) -> Bounds:
    return _sum(call, operand, -_number(call, 2, "alpha", 1.0))


def _sum(call: Call, operand: Operand, factor: float) -> Bounds:
    if math.isnan(factor):
        return UNKNOWN
    first, second = operand(call.args[0]), _times(operand(call.args[1]), Bounds(factor, factor))
    return Bounds(first.low + second.low, first.high + second.high)


def product(call: Call, operand: Operand) -> Bounds:
    first, second = call.args[:2]
    if first == second and isinstance(first, Ref):
        return NEVER_NEGATIVE
    return _times(operand(first), operand(second))


def quotient(call: Call, operand: Operand) -> Bounds:
    divisor = operand(call.args[1])
    if divisor.low > 0 or divisor.high < 0:
        return _times(operand(call.args[0]), Bounds(*sorted((_inverse(divisor.low), _inverse(divisor.high)))))
    return UNKNOWN


def reciprocal(call: Call, operand: Operand) -> Bounds:
    """Of the same sign."""
    return operand(call.args[0]).sign


def larger(call: Call, operand: Operand) -> Bounds:
    first, second = operand(call.args[0]), operand(call.args[1])
    return Bounds(max(first.low, second.low), max(first.high, second.high))


def smaller(call: Call, operand: Operand) -> Bounds:
    first, second = operand(call.args[0]), operand(call.args[1])
    return Bounds(min(first.low, second.low), min(first.high, second.high))


def matmul(call: Call, operand: Operand) -> Bounds:
    """A sum of products, each with the sign of its factors."""
    return _times(operand(call.args[0]), operand(call.args[1])).sign


def attention(call: Call, operand: Operand) -> Bounds:
    """Values weighed by shares that are never negative."""
    return operand(_argument(call, 2, "value")).sign


def joined(call: Call, operand: Operand) -> Bounds:
    parts = _argument(call, 0, "tensors")
    if not isinstance(parts, tuple) or not parts:
        return UNKNOWN
    return operand(parts[0]).over(*(operand(part) for part in parts[1:]))


def padded(call: Call, operand: Operand) -> Bounds:
    x, value = operand(_argument(call, 0, "self")), _number(call, 2, "value", 0.0)
    return UNKNOWN if math.isnan(value) else x.over(Bounds(value, value))


def average_pool(call: Call, operand: Operand) -> Bounds:
    """Zeros may be averaged in from the padding; a divisor of one's own may turn the sign."""
    averaged = operand(_argument(call, 0, "self")).over(Bounds(0.0, 0.0))
    divisor = _argument(call, 6, "divisor_override")
    if divisor is None:
        return averaged
    negative = isinstance(divisor, int | float) and divisor < 0
    return averaged.negated.sign if negative else averaged.sign


def _times(first: Bounds, second: Bounds) -> Bounds:
    ends = [_end_times_end(a, b) for a in (first.low, first.high) for b in (second.low, second.high)]
    return UNKNOWN if any(math.isnan(end) for end in ends) else Bounds(min(ends), max(ends))


def _end_times_end(first: float, second: float) -> float:
    """A product of two ends, where zero times infinity is zero: no value is infinite, bounds are."""
    return 0.0 if 0 in (first, second) else first * second


def _inverse(end: float) -> float:
    return 0.0 if math.isinf(end) else 1 / end
