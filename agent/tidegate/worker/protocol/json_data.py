"""A tensor's `data` in JSON: numbers, flat in row-major order or nested to the tensor's shape."""

from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from tidegate.worker.protocol.datatypes import Datatype, Stored
from tidegate.worker.protocol.refusals import BadRequest, shown

Numbers = list[int | float]


def stored_values(data: list[Any], shape: Sequence[int], datatype: Datatype) -> Stored:
    """The values as `datatype` stores them, or wider, of `shape`. Raises BadRequest."""
    if datatype.name in {"FP16", "BF16"}:
        raise BadRequest(
            f"inputs.0.datatype: found '{datatype.name}' with `data`; JSON numbers can't be it: send binary data"
        )
    flat = _flattened(data, shape, {bool, int} if datatype.name == "BOOL" else {int, float})
    values = _whole(flat, datatype) if datatype.is_integer or datatype.name == "BOOL" else _float(flat, datatype)
    return values.reshape(shape)


def _flattened(data: list[Any], shape: Sequence[int], numbers: set[type]) -> Numbers:
    """The numbers in row-major order, whether they came flat or nested to `shape`."""
    hint = "allowed are true, false, 1 and 0" if bool in numbers else "allowed are JSON numbers"
    if list not in {*map(type, data[:1])}:
        _check_length("", data, prod(shape), shape)
        _check_kinds(data, (), numbers, hint)
        return data
    level: list[Any] = data
    _check_length("", level, shape[0], shape)
    for depth in range(1, len(shape)):
        outer = shape[:depth]
        _check_kinds(level, outer, {list}, f"allowed are lists as in shape {list(shape)}, or bare numbers")
        if {*map(len, level)} != {shape[depth]}:
            index = next(index for index, each in enumerate(level) if len(each) != shape[depth])
            _check_length(_path(index, outer), level[index], shape[depth], shape)
        level = list(chain.from_iterable(level))
    _check_kinds(level, shape, numbers, hint)
    return level


def _check_length(path: str, values: list[Any], allowed: int, shape: Sequence[int]) -> None:
    if len(values) != allowed:
        raise BadRequest(f"inputs.0.data{path}: found {len(values)} values, shape {list(shape)} needs {allowed}")


def _check_kinds(values: list[Any], shape: Sequence[int], allowed: set[type], hint: str) -> None:
    if {*map(type, values)} <= allowed:
        return
    index = next(index for index, value in enumerate(values) if type(value) not in allowed)
    raise BadRequest(f"inputs.0.data{_path(index, shape)}: found {shown(values[index])}; {hint}")


def _path(index: int, shape: Sequence[int]) -> str:
    """Where a value stands in the nested data; a flat one, whose shape is (), has one index."""
    if not shape:
        return f"[{index}]"
    return "".join(f"[{place}]" for place in np.unravel_index(index, shape))


def _float(flat: Numbers, datatype: Datatype) -> Stored:
    least, most = datatype.bounds
    allowed = f"{datatype.name} values are finite and at most {most:.8g} either way"
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(flat, dtype=np.float32)
    except OverflowError:  # an integer beyond float64
        raise _out_of_range(flat, -1e308, 1e308, allowed) from None
    if not np.isfinite(values).all():
        raise _out_of_range(flat, least, most, allowed)
    return values


def _whole(flat: Numbers, datatype: Datatype) -> Stored:
    least, most = datatype.bounds
    allowed = f"{datatype.name} values are whole numbers from {least} to {most}"
    if datatype.name == "UINT8":
        try:
            return np.frombuffer(bytes(flat), np.uint8)  # type: ignore[arg-type]  # a float raises TypeError
        except TypeError:
            pass
        except (ValueError, OverflowError):
            raise _out_of_range(flat, least, most, allowed) from None
    if datatype.stored.itemsize < 8:  # float64 has each of its values exactly
        try:
            values = np.asarray(flat, dtype=np.float64)
        except OverflowError:
            raise _out_of_range(flat, least, most, allowed) from None
        if not (values.min() >= least and values.max() <= most):
            raise _out_of_range(flat, least, most, allowed)
        if (fractions := values != np.floor(values)).any():
            raise _fraction(flat, int(fractions.argmax()), allowed)
        return values.astype(datatype.stored)
    for index, value in enumerate(flat):
        if not least <= value <= most:
            raise _out_of_range(flat, least, most, allowed)
        if value != int(value):
            raise _fraction(flat, index, allowed)
    return np.asarray([int(value) for value in flat], dtype=datatype.stored)


def _fraction(flat: Numbers, index: int, allowed: str) -> BadRequest:
    return BadRequest(f"inputs.0.data: value {index} is {shown(flat[index])}; {allowed}")


def _out_of_range(flat: Numbers, least: float, most: float, allowed: str) -> BadRequest:
    index = next((index for index, value in enumerate(flat) if not least <= value <= most), 0)
    return BadRequest(f"inputs.0.data: value {index} is {shown(flat[index])}; {allowed}")
