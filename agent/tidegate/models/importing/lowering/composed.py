"""Functions of values, and sums and spreads of them, that are said with several of a graph's operators."""

import math
from typing import Any

from tidegate.models.graph import Ref
from tidegate.models.importing.lowering.reader import Rule, Value
from tidegate.models.importing.lowering.writer import ADD, LARGEST, MUL, SUB, Writer, rule, within_float32


def clamp(write: Writer, given: dict[str, Any]) -> Value:
    """Between two numbers a hardtanh, from zero a ReLU."""
    low, high = given.get("min"), given.get("max")
    x = write.read(given["self"])
    if low == 0 and high is None:
        return write.add("aten.relu.default", x)
    if not all(isinstance(limit, int | float | None) for limit in (low, high)):
        raise write.reader.refusal(write.node, "clamps by values; allowed are numbers")
    limits = (-LARGEST if low is None else within_float32(low), LARGEST if high is None else within_float32(high))
    return write.add("aten.hardtanh.default", x, *limits)


def reversed_sub(write: Writer, given: dict[str, Any]) -> Value:
    """other - alpha * self"""
    factor = -float(given["alpha"])
    turned = write.add(MUL, write.read(given["self"]), factor, shape=write.shape(given["self"]))
    return write.add(ADD, turned, write.read(given["other"]))


def power(write: Writer, given: dict[str, Any]) -> Value:
    x, exponent = write.read(given["self"]), given["exponent"]
    if exponent in {0.5, -0.5}:
        root = write.add("aten.sqrt.default", x)
        return root if exponent > 0 else write.add("aten.reciprocal.default", root)
    if isinstance(exponent, int | float) and exponent != int(exponent):
        # As in torch not a number where x is negative.
        return write.add("aten.exp.default", write.add(MUL, write.add("aten.log.default", x), float(exponent)))
    if not isinstance(exponent, int | float) or not -4 <= exponent <= 4 or not exponent:
        raise write.reader.refusal(
            write.node, f"to the power of {exponent}; allowed are fractions, and whole numbers up to 4 either way"
        )
    result = x
    for _ in range(abs(int(exponent)) - 1):
        result = write.add(MUL, result, x)
    return write.add("aten.reciprocal.default", result) if exponent < 0 else result


def inverse_root(write: Writer, given: dict[str, Any]) -> Value:
    return write.add("aten.reciprocal.default", write.add("aten.sqrt.default", write.read(given["self"])))


def squared(write: Writer, given: dict[str, Any]) -> Value:
    x = write.read(given["self"])
    return write.add(MUL, x, x)


def softplus(write: Writer, given: dict[str, Any]) -> Value:
    """relu(x) + log(1 + e^(-beta * |x|)) / beta, which no x overflows."""
    x, beta = write.read(given["self"]), float(given["beta"])
    small = write.add("aten.exp.default", write.add(MUL, write.add("aten.abs.default", x), -beta))
    curve = write.add("aten.log.default", write.add(ADD, small, 1.0))
    if beta != 1:
        curve = write.add(MUL, curve, 1 / beta)
    return write.add(ADD, write.add("aten.relu.default", x), curve)


def relu6(write: Writer, given: dict[str, Any]) -> Value:
    return write.add("aten.hardtanh.default", write.read(given["self"]), 0.0, 6.0)


def prelu(write: Writer, given: dict[str, Any]) -> Value:
    """With a slope per channel: max(x, slope * x) where none is above 1, else relu(x) - slope * relu(-x)."""
    slope = write.tensor(given["weight"])
    if slope is None:
        raise write.reader.refusal(write.node, "a slope that is not a weight")
    x, axes = write.read(given["self"]), len(write.reader.shape(write.node))
    if slope.numel() == 1:
        return write.add("aten.leaky_relu.default", x, float(slope))
    by_channel = slope.reshape(-1, *[1] * (axes - 1))
    if float(slope.detach().max()) <= 1:
        return write.add("aten.maximum.default", x, write.add(MUL, x, write.constant("slope", by_channel)))
    below = write.add("aten.relu.default", write.add(MUL, x, -1.0))
    scaled = write.add(MUL, below, write.constant("slope", -by_channel))
    return write.add(ADD, write.add("aten.relu.default", x), scaled)


def total(write: Writer, given: dict[str, Any]) -> Value:
    """A mean times how many there are."""
    source, axes = given["self"], given["dim"]
    shape = write.shape(source)
    places = [axis % (len(shape) + 1) for axis in axes]
    if not places or 0 in places:
        raise write.reader.refusal(write.node, "sums over the samples; an answer must be of one sample alone")
    count = math.prod(shape[place - 1] for place in places)
    mean = write.add("aten.mean.dim", write.read(source), tuple(places), bool(given["keepdim"]))
    return write.add(MUL, mean, float(count))


def variance(write: Writer, given: dict[str, Any]) -> Value:
    return _variance(write, given)


def deviation(write: Writer, given: dict[str, Any]) -> Value:
    return write.add("aten.sqrt.default", _variance(write, given))


def _variance(write: Writer, given: dict[str, Any]) -> Ref:
    source, axes = given["self"], given["dim"]
    shape = write.shape(source)
    places = tuple(axis % (len(shape) + 1) for axis in axes or ())
    if not places or 0 in places:
        raise write.reader.refusal(write.node, "varies over the samples; an answer must be of one sample alone")
    kept = tuple(1 if place + 1 in places else size for place, size in enumerate(shape))
    x = write.read(source)
    middle = write.add("aten.mean.dim", x, places, True, shape=kept)
    off = write.add(SUB, x, middle, shape=shape)
    square = write.add(MUL, off, off, shape=shape)
    mean = write.add("aten.mean.dim", square, places, bool(given["keepdim"]))
    count = math.prod(shape[place - 1] for place in places)
    correction = given.get("correction", int(given.get("unbiased", True)))
    correction = 1 if correction is None else correction
    return write.add(MUL, mean, count / (count - correction)) if correction else mean


def log_softmax(write: Writer, given: dict[str, Any]) -> Value:
    """x - m - log(sum(e^(x - m))) with m the largest: nothing overflows."""
    x, shape = write.read(given["self"]), write.reader.shape(write.node)
    axis = given["dim"] % (len(shape) + 1)
    kept = tuple(1 if place + 1 == axis else size for place, size in enumerate(shape))
    largest = write.add("aten.amax.default", x, (axis,), True, shape=kept)
    off = write.add(SUB, x, largest)
    mean = write.add("aten.mean.dim", write.add("aten.exp.default", off), (axis,), True, shape=kept)
    whole = write.add(MUL, mean, float(shape[axis - 1]), shape=kept)
    return write.add(SUB, off, write.add("aten.log.default", whole, shape=kept))


def gated(write: Writer, given: dict[str, Any]) -> Value:
    """The first half times the sigmoid of the second."""
    source, shape = given["self"], write.reader.shape(write.node)
    axis = given["dim"] % (len(shape) + 1)
    half, x = shape[axis - 1], write.read(source)
    first, second = (write.add("aten.slice.Tensor", x, axis, start, start + half) for start in (0, half))
    return write.add(MUL, first, write.add("aten.sigmoid.default", second))


def length(write: Writer, given: dict[str, Any]) -> Value:
    """The root of the sum of squares, or the sum or the largest of absolute values."""
    source, axes, order = given["self"], given["dim"], given["ord"]
    shape = write.shape(source)
    places = tuple(axis % (len(shape) + 1) for axis in axes or ())
    if not places or 0 in places or order not in {1, 2, math.inf}:
        raise write.reader.refusal(
            write.node, f"a norm of order {order} over {axes}; allowed are 1, 2 and inf, of one sample"
        )
    x = write.read(source)
    keep = bool(given["keepdim"])
    args = (MUL, x, x) if order == 2 else ("aten.abs.default", x)
    square = write.add(*args, shape=shape)
    if order == math.inf:
        return write.add("aten.amax.default", square, places, keep)
    count = float(math.prod(shape[place - 1] for place in places))
    whole = write.add(MUL, write.add("aten.mean.dim", square, places, keep), count)
    return whole if order == 1 else write.add("aten.sqrt.default", whole)


def least(write: Writer, given: dict[str, Any]) -> Value:
    """The largest of the negated values, negated."""
    source = given["self"]
    turned = write.add(MUL, write.read(source), -1.0, shape=write.shape(source))
    axes = tuple(given["dim"])
    return write.add(MUL, write.add("aten.amax.default", turned, axes, bool(given["keepdim"])), -1.0)


def largest_along(write: Writer, given: dict[str, Any]) -> Value:
    """Of `max` along an axis the values; its indices can't be kept."""
    value = write.node.meta["val"]
    shape = tuple(int(size) for size in value[0].shape[1:])
    axis = given["dim"] % (len(write.shape(given["self"])) + 1)
    if axis == 0:
        raise write.reader.refusal(write.node, "compares samples with each other")
    return write.add("aten.amax.default", write.read(given["self"]), (axis,), bool(given["keepdim"]), shape=shape)


def times_exponential(write: Writer, given: dict[str, Any]) -> Value:
    """Within its limits e^x - 1."""
    return write.add(ADD, write.add("aten.exp.default", write.read(given["self"])), -1.0)


def logarithm_of_more(write: Writer, given: dict[str, Any]) -> Value:
    return write.add("aten.log.default", write.add(ADD, write.read(given["self"]), 1.0))


def log_sigmoid(write: Writer, given: dict[str, Any]) -> Value:
    return write.add("aten.log.default", write.add("aten.sigmoid.default", write.read(given["self"])))


def smallest_of(write: Writer, given: dict[str, Any]) -> Value:
    """Of a value and a number by a clamp, of two values as it is."""
    return _either(write, given, "aten.minimum.default")


def largest_of(write: Writer, given: dict[str, Any]) -> Value:
    return _either(write, given, "aten.maximum.default")


def _either(write: Writer, given: dict[str, Any], operator: str) -> Value:
    for source, other in ((given["self"], given["other"]), (given["other"], given["self"])):
        known = write.tensor(other)
        if known is None:
            continue
        x = write.read(source)
        if known.numel() == 1:
            limit = within_float32(float(known))
            limits = (limit, LARGEST) if operator.startswith("aten.max") else (-LARGEST, limit)
            return write.add("aten.hardtanh.default", x, *limits)
        return write.add(operator, x, write.read(other))
    return write.add(operator, write.read(given["self"]), write.read(given["other"]))


RULES: dict[str, Rule] = {
    "aten.glu.default": rule(gated),
    "aten.linalg_vector_norm.default": rule(length),
    "aten.amin.default": rule(least),
    "aten.max.dim": rule(largest_along),
    "aten.expm1.default": rule(times_exponential),
    "aten.log1p.default": rule(logarithm_of_more),
    "aten.log_sigmoid.default": rule(log_sigmoid),
    "aten.minimum.default": rule(smallest_of),
    "aten.maximum.default": rule(largest_of),
    "aten.clamp.default": rule(clamp),
    "aten.clamp_min.default": rule(clamp),
    "aten.clamp_max.default": rule(clamp),
    "aten.rsub.Scalar": rule(reversed_sub),
    "aten.rsub.Tensor": rule(reversed_sub),
    "aten.pow.Tensor_Scalar": rule(power),
    "aten.rsqrt.default": rule(inverse_root),
    "aten.square.default": rule(squared),
    "aten.softplus.default": rule(softplus),
    "aten.relu6.default": rule(relu6),
    "aten.prelu.default": rule(prelu),
    "aten._prelu_kernel.default": rule(prelu),
    "aten.sum.dim_IntList": rule(total),
    "aten.var.dim": rule(variance),
    "aten.std.dim": rule(deviation),
    "aten.var.correction": rule(variance),
    "aten.std.correction": rule(deviation),
    "aten.log_softmax.int": rule(log_softmax),
    "aten._log_softmax.default": rule(log_softmax),
}
