"""Functions of one or two values that are said with the exponential, the logarithm and clamps of a graph."""

import math
from typing import Any

from tidegate.models.graph import Argument, Ref
from tidegate.models.importing.lowering.reader import Rule, Value
from tidegate.models.importing.lowering.writer import ADD, LARGEST, MUL, SUB, Writer, rule, within_float32

EXP, LOG, RELU = "aten.exp.default", "aten.log.default", "aten.relu.default"
ABS, ROOT, MAXIMUM = "aten.abs.default", "aten.sqrt.default", "aten.maximum.default"
HARDTANH = "aten.hardtanh.default"


def logarithm_to(base: float) -> Rule:
    """The rule of the logarithm to a base."""

    def write_it(write: Writer, given: dict[str, Any]) -> Value:
        return write.add(MUL, write.add(LOG, write.read(given["self"])), 1 / math.log(base))

    return rule(write_it)


def power_of_two(write: Writer, given: dict[str, Any]) -> Value:
    return _power_of(write, 2.0, given["self"])


def power_of_number(write: Writer, given: dict[str, Any]) -> Value:
    base = given["self"]
    if not isinstance(base, int | float) or base <= 0:
        raise write.reader.refusal(write.node, f"powers of {base}; allowed is a number above 0")
    return _power_of(write, float(base), given["exponent"])


def _power_of(write: Writer, base: float, exponent: object) -> Value:
    return write.add(EXP, write.add(MUL, write.read(exponent), math.log(base)))


def power_of_value(write: Writer, given: dict[str, Any]) -> Value:
    """As torch has it where the base is not negative; below zero not a number, also for whole exponents."""
    shape = write.shape(given["self"])
    logarithm = write.add(LOG, write.read(given["self"]), shape=shape)
    return write.add(EXP, write.add(MUL, logarithm, write.read(given["exponent"])))


def hyperbolic(sign: float) -> Rule:
    """The rule of cosh (1) and sinh (-1): half of e^x + sign * e^-x."""

    def write_it(write: Writer, given: dict[str, Any]) -> Value:
        x = write.read(given["self"])
        down = write.add(MUL, write.add(EXP, write.add(MUL, x, -1.0)), sign)
        return write.add(MUL, write.add(ADD, write.add(EXP, x), down), 0.5)

    return rule(write_it)


def sum_of_exponentials(write: Writer, given: dict[str, Any]) -> Value:
    """m + log(sum(e^(x - m))) along axes, with m the largest: nothing overflows."""
    source, keep = given["self"], bool(given["keepdim"])
    shape = write.shape(source)
    places = tuple(axis % (len(shape) + 1) for axis in given["dim"])
    if not places or 0 in places:
        raise write.reader.refusal(write.node, "sums over the samples; an answer must be of one sample alone")
    kept = tuple(1 if place + 1 in places else size for place, size in enumerate(shape))
    x = write.read(source)
    largest = write.add("aten.amax.default", x, places, True, shape=kept)
    terms = write.add(EXP, write.add(SUB, x, largest, shape=shape), shape=shape)
    count = math.prod(shape[place - 1] for place in places)
    whole = write.add(MUL, write.add("aten.mean.dim", terms, places, keep), float(count))
    outer = largest if keep else write.add("aten.amax.default", x, places, False)
    return write.add(ADD, outer, write.add(LOG, whole))


def logarithm_of_sum(write: Writer, given: dict[str, Any]) -> Value:
    """log(e^a + e^b): the larger, and what the other adds, which is e^-|a - b| of it."""
    first, second = write.read(given["self"]), write.read(given["other"])
    off = write.add(ABS, write.add(SUB, first, second))
    small = write.add(EXP, write.add(MUL, off, -1.0))
    return write.add(ADD, write.add(MAXIMUM, first, second), write.add(LOG, write.add(ADD, small, 1.0)))


def hypotenuse(write: Writer, given: dict[str, Any]) -> Value:
    squares = [
        write.add(MUL, value, value, shape=write.shape(source))
        for source, value in ((each, write.read(each)) for each in (given["self"], given["other"]))
    ]
    return write.add(ROOT, write.add(ADD, *squares))


def odds(write: Writer, given: dict[str, Any]) -> Value:
    """log(x / (1 - x)), after a clamp to eps..1 - eps."""
    x, eps = write.read(given["self"]), given["eps"]
    if eps is not None:
        x = write.add(HARDTANH, x, float(eps), 1.0 - float(eps))
    rest = write.add(ADD, write.add(MUL, x, -1.0), 1.0)
    return write.add(SUB, write.add(LOG, x), write.add(LOG, rest))


def scaled_elu(write: Writer, given: dict[str, Any]) -> Value:
    """celu: relu(x) + alpha * (e^(min(x, 0) / alpha) - 1)."""
    x, alpha = write.read(given["self"]), float(given["alpha"])
    below = write.add(MUL, write.add(RELU, write.add(MUL, x, -1.0)), -1 / alpha)
    return write.add(ADD, write.add(RELU, x), write.add(MUL, write.add(ADD, write.add(EXP, below), -1.0), alpha))


def between(write: Writer, given: dict[str, Any]) -> Value:
    """A step from one value towards another: start + weight * (end - start)."""
    start, end, weight = given["self"], given["end"], given["weight"]
    way = write.add(SUB, write.read(end), write.read(start))
    return write.add(ADD, write.read(start), write.add(MUL, way, write.read(weight)))


def mean_slope(write: Writer, given: dict[str, Any]) -> Value:
    """At inference rrelu is a leaky ReLU with the middle slope."""
    slope = (float(given["lower"]) + float(given["upper"])) / 2
    return write.add("aten.leaky_relu.default", write.read(given["self"]), slope)


def rest_of_error(write: Writer, given: dict[str, Any]) -> Value:
    """erfc: 1 - erf(x)"""
    turned = write.add(MUL, write.add("aten.erf.default", write.read(given["self"])), -1.0)
    return write.add(ADD, turned, 1.0)


def limited_by_values(write: Writer, given: dict[str, Any]) -> Value:
    """clamp with tensors for limits."""
    value: Ref | Argument = write.read(given["self"])
    for name, operator in (("min", MAXIMUM), ("max", "aten.minimum.default")):
        limit = given.get(name)
        if limit is None:
            continue
        known = write.tensor(limit)
        if known is not None and known.numel() == 1:
            end = within_float32(float(known))
            value = write.add(HARDTANH, value, *((end, LARGEST) if name == "min" else (-LARGEST, end)))
        else:
            value = write.add(operator, value, write.read(limit))
    assert isinstance(value, Ref)  # noqa: S101 - torch wants at least one limit
    return value


RULES: dict[str, Rule] = {
    "aten.log2.default": logarithm_to(2.0),
    "aten.log10.default": logarithm_to(10.0),
    "aten.exp2.default": rule(power_of_two),
    "aten.pow.Scalar": rule(power_of_number),
    "aten.pow.Tensor_Tensor": rule(power_of_value),
    "aten.cosh.default": hyperbolic(1.0),
    "aten.sinh.default": hyperbolic(-1.0),
    "aten.logsumexp.default": rule(sum_of_exponentials),
    "aten.logaddexp.default": rule(logarithm_of_sum),
    "aten.hypot.default": rule(hypotenuse),
    "aten.logit.default": rule(odds),
    "aten.celu.default": rule(scaled_elu),
    "aten.lerp.Scalar": rule(between),
    "aten.lerp.Tensor": rule(between),
    "aten.rrelu.default": rule(mean_slope),
    "aten.erfc.default": rule(rest_of_error),
    "aten.clamp.Tensor": rule(limited_by_values),
    "aten.clamp_min.Tensor": rule(limited_by_values),
    "aten.clamp_max.Tensor": rule(limited_by_values),
}
