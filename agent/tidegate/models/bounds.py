"""The least and the largest value an operator can give, by its arguments; operator by operator, no torch here.

Of its operands only the sign counts: AA-ReLU and int8 move a value anywhere on its own side of zero, and what is
said here must hold whatever an operating point does to the values before.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tidegate.models.graph import INPUT, Argument, BatchSize, Node, Ref, Segment


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
Rule = Callable[[Node, Operand], Bounds]


def bounds_of(segment: Segment, given: Bounds = UNKNOWN) -> Mapping[str, Bounds]:
    """The bounds of every node's value, by name; `given` are those of the segment's input."""
    found = {INPUT: given}

    def operand(argument: Argument) -> Bounds:
        match argument:
            case Ref(name):
                return found[name].sign
            case BatchSize():
                return Bounds(1.0)
            case bool() | int() | float():
                return Bounds(float(argument), float(argument))
            case _:
                return UNKNOWN

    for node in segment.nodes:
        found[node.name] = BOUND_RULES[node.operator](node, operand)
    return found


def _argument(node: Node, place: int, name: str, default: Argument = None) -> Argument:
    """An argument that may be given by place or by name."""
    return node.args[place] if place < len(node.args) else node.kwargs.get(name, default)


def _number(node: Node, place: int, name: str, default: float) -> float:
    """The same for a number; NaN, which bounds nothing, where something else is found."""
    value = _argument(node, place, name, default)
    return float(value) if isinstance(value, int | float) else math.nan


def _unknown(_: Node, __: Operand) -> Bounds:
    return UNKNOWN


def _same(node: Node, operand: Operand) -> Bounds:
    """Chooses, rearranges or averages values."""
    return operand(_argument(node, 0, "self"))


def _always(low: float, high: float) -> Rule:
    def rule(_: Node, __: Operand) -> Bounds:
        return Bounds(low, high)

    return rule


def _relu(node: Node, operand: Operand) -> Bounds:
    return Bounds(0.0, max(0.0, operand(_argument(node, 0, "self")).high))


def _hardtanh(node: Node, operand: Operand) -> Bounds:
    low, high = _number(node, 1, "min_val", -1.0), _number(node, 2, "max_val", 1.0)
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    x = operand(_argument(node, 0, "self"))
    # The upper limit is applied last: where the two cross, everything becomes the upper one.
    return Bounds(min(max(x.low, low), high), min(max(x.high, low), high))


def _tanh(node: Node, operand: Operand) -> Bounds:
    x = operand(_argument(node, 0, "self"))
    return Bounds(max(x.low, -1.0), min(x.high, 1.0))


def _dips_to(least: float) -> Rule:
    """Below zero no lower than `least` and never positive, above zero between 0 and its operand."""

    def rule(node: Node, operand: Operand) -> Bounds:
        x = operand(_argument(node, 0, "self"))
        return Bounds(0.0 if x.never_negative else least, max(0.0, x.high))

    return rule


def _gelu(node: Node, operand: Operand) -> Bounds:
    exact = _argument(node, 1, "approximate", "none") == "none"
    # -0.169971 near x = -0.7518, -0.170041 by the formula with tanh.
    return _dips_to(-0.17 if exact else -0.1701)(node, operand)


def _elu(node: Node, operand: Operand) -> Bounds:
    """scale * x above zero, scale * alpha * (exp(input_scale * x) - 1) below."""
    alpha = _number(node, 1, "alpha", 1.0)
    scale = _number(node, 2, "scale", 1.0)
    input_scale = _number(node, 3, "input_scale", 1.0)
    x = operand(_argument(node, 0, "self"))
    above = _times(Bounds(max(0.0, x.low), max(0.0, x.high)), Bounds(scale, scale))
    if x.never_negative:
        return above
    most = -scale * alpha if input_scale > 0 else scale * alpha * math.inf if input_scale < 0 else 0.0
    return UNKNOWN if math.isnan(most) else above.over(Bounds(min(0.0, most), max(0.0, most)))


def _leaky_relu(node: Node, operand: Operand) -> Bounds:
    slope = _number(node, 1, "negative_slope", 0.01)
    x = operand(_argument(node, 0, "self"))
    below = _times(Bounds(min(0.0, x.low), min(0.0, x.high)), Bounds(slope, slope))
    return Bounds(max(0.0, x.low), max(0.0, x.high)).over(below)


def _sum(node: Node, operand: Operand) -> Bounds:
    return _added(node, operand, _number(node, 2, "alpha", 1.0))


def _difference(node: Node, operand: Operand) -> Bounds:
    return _added(node, operand, -_number(node, 2, "alpha", 1.0))


def _added(node: Node, operand: Operand, factor: float) -> Bounds:
    if math.isnan(factor):
        return UNKNOWN
    first, second = operand(node.args[0]), _times(operand(node.args[1]), Bounds(factor, factor))
    return Bounds(first.low + second.low, first.high + second.high)


def _product(node: Node, operand: Operand) -> Bounds:
    first, second = node.args[:2]
    if first == second and isinstance(first, Ref):
        return NEVER_NEGATIVE
    return _times(operand(first), operand(second))


def _quotient(node: Node, operand: Operand) -> Bounds:
    divisor = operand(node.args[1])
    if divisor.low > 0 or divisor.high < 0:
        return _times(operand(node.args[0]), Bounds(*sorted((_inverse(divisor.low), _inverse(divisor.high)))))
    return UNKNOWN


def _matmul(node: Node, operand: Operand) -> Bounds:
    """A sum of products, each with the sign of its factors."""
    return _times(operand(node.args[0]), operand(node.args[1])).sign


def _attention(node: Node, operand: Operand) -> Bounds:
    """Values weighed by shares that are never negative."""
    return operand(_argument(node, 2, "value")).sign


def _joined(node: Node, operand: Operand) -> Bounds:
    parts = _argument(node, 0, "tensors")
    if not isinstance(parts, tuple) or not parts:
        return UNKNOWN
    return operand(parts[0]).over(*(operand(part) for part in parts[1:]))


def _padded(node: Node, operand: Operand) -> Bounds:
    x, value = operand(_argument(node, 0, "self")), _number(node, 2, "value", 0.0)
    return UNKNOWN if math.isnan(value) else x.over(Bounds(value, value))


def _average_pool(node: Node, operand: Operand) -> Bounds:
    """Zeros may be averaged in from the padding; a divisor of one's own may turn the sign."""
    averaged = operand(_argument(node, 0, "self")).over(Bounds(0.0, 0.0))
    divisor = _argument(node, 6, "divisor_override")
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


BOUND_RULES: Mapping[str, Rule] = {
    "aten.adaptive_avg_pool2d.default": _same,
    "aten.add.Tensor": _sum,
    "aten.avg_pool2d.default": _average_pool,
    "aten.cat.default": _joined,
    "aten.constant_pad_nd.default": _padded,
    "aten.conv2d.default": _unknown,
    "aten.conv_transpose2d.input": _unknown,
    "aten.div.Tensor": _quotient,
    "aten.elu.default": _elu,
    "aten.flatten.using_ints": _same,
    "aten.gelu.default": _gelu,
    "aten.group_norm.default": _unknown,
    "aten.hardsigmoid.default": _always(0.0, 1.0),
    "aten.hardswish.default": _dips_to(-0.375),
    "aten.hardtanh.default": _hardtanh,
    "aten.layer_norm.default": _unknown,
    "aten.leaky_relu.default": _leaky_relu,
    "aten.linear.default": _unknown,
    "aten.matmul.default": _matmul,
    "aten.max_pool2d.default": _same,
    "aten.mean.dim": _same,
    "aten.mul.Tensor": _product,
    "aten.permute.default": _same,
    "aten.relu.default": _relu,
    "aten.reshape.default": _same,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten.sigmoid.default": _always(0.0, 1.0),
    # -0.278465 near x = -1.2785.
    "aten.silu.default": _dips_to(-0.2785),
    "aten.slice.Tensor": _same,
    "aten.softmax.int": _always(0.0, 1.0),
    "aten.sub.Tensor": _difference,
    "aten.tanh.default": _tanh,
    "aten.transpose.int": _same,
    "aten.upsample_bilinear2d.vec": _same,
    "aten.upsample_nearest2d.vec": _same,
    "aten.view.default": _same,
}


def least_values(segment: Segment) -> Mapping[str, float | None]:
    """The least value of every node, at most 0: AA-ReLU always keeps zero. None where nothing bounds it below."""
    return {
        name: None if math.isinf(bounds.low) else min(0.0, bounds.low)
        for name, bounds in bounds_of(segment).items()
    }
