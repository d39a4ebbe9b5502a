"""Arithmetic of shapes: whole numbers, of which the number of samples is symbolic in a trace."""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tidegate.models.importing.onnx.call import Call, Operator, Sizes, Unsupported, Value, as_sizes


def shape(call: Call) -> Sizes:
    x = call.value(0)
    return as_sizes(list(x.shape)[call.attribute("start", 0) : call.attribute("end", len(x.shape))])


def constant_of_shape(call: Call) -> Value:
    """One number everywhere; where samples are counted, for one of them."""
    sizes = [1 if isinstance(size, torch.SymInt) else int(size) for size in call.whole(0)]
    filling = call.attribute("value", np.zeros(1, np.float32))
    if call.known and filling.dtype.kind in "iu":
        return as_sizes(np.full(sizes, filling.item()))
    return torch.from_numpy(np.array(filling)).reshape(()).repeat(sizes)


def range_of(call: Call) -> Tensor:
    start, end, step = (call.tensor(place).item() for place in range(3))
    return torch.arange(start, end, step)


def _arrays(call: Call) -> list[Sizes]:
    return [as_sizes(value) for value in call.inputs if value is not None]


def arithmetic(function: Callable[[Any, Any], Any]) -> Operator:
    elementwise = np.frompyfunc(function, 2, 1)

    def computed(call: Call) -> Sizes:
        return as_sizes(reduce(elementwise, _arrays(call)))

    return computed


def one(function: Callable[[Any], Any]) -> Operator:
    elementwise = np.frompyfunc(function, 1, 1)
    return lambda call: as_sizes(elementwise(_arrays(call)[0]))


def gather(call: Call) -> Sizes:
    values, indices = as_sizes(call.value(0)), np.asarray(call.value(1).tolist(), np.int64)
    return as_sizes(np.take(values, indices, axis=call.attribute("axis", 0)))


def cut(call: Call) -> Sizes:
    values = as_sizes(call.value(0))
    starts, ends = call.whole_or_attribute(1, "starts"), call.whole_or_attribute(2, "ends")
    step = call.whole(4)[0] if call.optional(4) is not None else 1
    if not starts or not ends:
        raise Unsupported("says neither where to start nor where to end")
    return values[int(starts[0]) : int(ends[0]) : int(step)]


def concat(call: Call) -> Sizes:
    return np.concatenate([np.atleast_1d(values) for values in _arrays(call)])


def reshape(call: Call) -> Sizes:
    return as_sizes(call.value(0)).reshape([int(size) for size in call.whole(1)])


def squeeze(call: Call) -> Sizes:
    return np.squeeze(as_sizes(call.value(0)))


def unsqueeze(call: Call) -> Sizes:
    return np.atleast_1d(as_sizes(call.value(0)))


def product(call: Call) -> Sizes:
    return as_sizes([math.prod(as_sizes(call.value(0)).reshape(-1).tolist())])


def where(call: Call) -> Sizes:
    condition, first, second = _arrays(call)
    return as_sizes(np.frompyfunc(lambda which, a, b: a if which else b, 3, 1)(condition, first, second))


def split(call: Call) -> tuple[Sizes, ...]:
    values = as_sizes(call.value(0))
    sizes = call.whole_or_attribute(1, "split") or [len(values) // call.outputs] * call.outputs
    return tuple(np.split(values, np.cumsum([int(size) for size in sizes])[:-1]))


def expand(call: Call) -> Sizes:
    return as_sizes(np.broadcast_to(as_sizes(call.value(0)), [int(size) for size in call.whole(1)]))


def divided(first: Any, second: Any) -> Any:
    whole = isinstance(first, int | torch.SymInt) and isinstance(second, int | torch.SymInt)
    return first // second if whole else first / second


def cast(call: Call) -> Sizes:
    values = as_sizes(call.value(0))
    floating = call.attribute("to") in {1, 10, 11, 16}
    return as_sizes(
        np.frompyfunc(lambda each: each if floating or isinstance(each, torch.SymInt) else int(each), 1, 1)(values)
    )


OPERATORS: dict[str, Operator] = {
    "Add": arithmetic(lambda a, b: a + b),
    "Cast": cast,
    "Ceil": one(math.ceil),
    "Concat": concat,
    "ConstantOfShape": constant_of_shape,
    "Div": arithmetic(divided),
    "Equal": arithmetic(lambda a, b: a == b),
    "Expand": expand,
    "Floor": one(math.floor),
    "Gather": gather,
    "Identity": lambda call: as_sizes(call.value(0)),
    "Max": arithmetic(max),
    "Min": arithmetic(min),
    "Mul": arithmetic(lambda a, b: a * b),
    "Range": range_of,
    "ReduceProd": product,
    "Reshape": reshape,
    "Shape": shape,
    "Slice": cut,
    "Split": split,
    "Squeeze": squeeze,
    "Sub": arithmetic(lambda a, b: a - b),
    "Unsqueeze": unsqueeze,
    "Where": where,
}
"""On whole numbers alone."""
