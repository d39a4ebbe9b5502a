"""Functions value by value."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda call: function(call.tensor(0))


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda call: function(call.tensor(0), call.tensor(1))


def arithmetic(function: Callable[[Any, Any], Any]) -> Operator:
    return lambda call: function(call.operand(0), call.operand(1))


def joined(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Of any number of inputs, two by two."""
    return lambda call: reduce(function, call.tensors())


def same(call: Call) -> Tensor:
    return call.tensor(0)


def divide(call: Call) -> Tensor:
    first, second = call.operand(0), call.operand(1)
    if all(isinstance(each, Tensor) and not each.is_floating_point() for each in (first, second)):
        return torch.div(call.tensor(0), call.tensor(1), rounding_mode="trunc")
    # One of the two is a tensor.
    return first / second  # type: ignore[return-value]


def mean(call: Call) -> Tensor:
    total: Tensor = joined(torch.add)(call)
    return total / len(call.inputs)


def clip(call: Call) -> Tensor:
    limits = []
    for place, name in ((1, "min"), (2, "max")):
        given = call.attribute(name)
        if given is None and call.optional(place) is not None:
            (given,) = call.numbers(place)
        limits.append(given)
    return torch.clamp(call.tensor(0), *limits) if limits != [None, None] else call.tensor(0)


def gelu(call: Call) -> Tensor:
    how = call.attribute("approximate", "none")
    return functional.gelu(call.tensor(0), approximate=how)


def hard_sigmoid(call: Call) -> Tensor:
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return functional.hardsigmoid(call.tensor(0))
    return torch.clamp(call.tensor(0) * alpha + beta, 0.0, 1.0)


def prelu(call: Call) -> Tensor:
    x, slope = call.tensor(0), call.tensor(1)
    return functional.relu(x) - slope * functional.relu(-x)


def power(call: Call) -> Tensor:
    exponents = set(call.numbers(1))
    if len(exponents) != 1:
        raise Unsupported("has several exponents; give one number")
    (exponent,) = exponents
    if exponent == 2:
        return call.tensor(0) * call.tensor(0)
    return torch.pow(call.tensor(0), int(exponent) if exponent == int(exponent) else exponent)


def selu(call: Call) -> Tensor:
    alpha, gamma = call.attribute("alpha", 1.67326319217681884765625), call.attribute("gamma", 1.0507010221481323)
    result: Tensor = functional.elu(call.tensor(0), alpha) * gamma
    return result


def cast(call: Call) -> Tensor:
    x = call.tensor(0)
    dtype = _DTYPES.get(call.attribute("to"))
    if dtype is None:
        raise Unsupported(f"casts to ONNX's type {call.attribute('to')}; graphs are float32")
    # Half precision is computed in float32: what remains of the cast would be its rounding alone.
    return x.to(torch.float32 if dtype.is_floating_point else dtype)


def swish(call: Call) -> Tensor:
    x, alpha = call.tensor(0), call.attribute("alpha", 1.0)
    return functional.silu(x) if alpha == 1 else x * torch.sigmoid(x * alpha)


def where(call: Call) -> Tensor:
    condition = call.tensor(0)
    return torch.where(condition.bool(), call.tensor(1), call.tensor(2))


_DTYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 6: torch.int32, 7: torch.int64, 9: torch.bool,
    10: torch.float16, 11: torch.float64, 16: torch.bfloat16,
}  # fmt: skip
"""By number in ONNX's TensorProto.DataType."""

OPERATORS: dict[str, Operator] = {
    "Abs": unary(torch.abs),
    "Add": arithmetic(operator.add),
    "And": binary(torch.logical_and),
    "Cast": cast,
    "CastLike": same,
    "Ceil": unary(torch.ceil),
    "Celu": lambda call: functional.celu(call.tensor(0), call.attribute("alpha", 1.0)),
    "Clip": clip,
    "Cos": unary(torch.cos),
    "Div": divide,
    "Dropout": same,
    "Elu": lambda call: functional.elu(call.tensor(0), call.attribute("alpha", 1.0)),
    "Equal": binary(torch.eq),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Gelu": gelu,
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": unary(functional.hardswish),
    "Identity": same,
    "LeakyRelu": lambda call: functional.leaky_relu(call.tensor(0), call.attribute("alpha", 0.01)),
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Log": unary(torch.log),
    "Max": joined(torch.maximum),
    "Mean": mean,
    "Min": joined(torch.minimum),
    "Mish": unary(functional.mish),
    "Mod": binary(torch.fmod),
    "Mul": arithmetic(operator.mul),
    "Neg": unary(torch.neg),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "PRelu": prelu,
    "Pow": power,
    "Reciprocal": unary(torch.reciprocal),
    "Relu": unary(functional.relu),
    "Round": unary(torch.round),
    "Selu": selu,
    "Sigmoid": unary(torch.sigmoid),
    "Sin": unary(torch.sin),
    "Softplus": unary(functional.softplus),
    "Softsign": unary(functional.softsign),
    "Sqrt": unary(torch.sqrt),
    "Sub": arithmetic(operator.sub),
    "Sum": joined(torch.add),
    "Swish": swish,
    "Tanh": unary(torch.tanh),
    "Where": where,
}
