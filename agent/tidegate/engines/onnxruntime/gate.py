"""A gate's score as ONNX operators, the formulas of `tidegate.models.gates.activity`; for one sample at a time."""

import math
from collections.abc import Mapping

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import Scope
from tidegate.engines.onnxruntime.protobuf import ElementType
from tidegate.models.ladder import Activity
from tidegate.models.network import Shape

_TINY = np.asarray(np.finfo(np.float32).tiny, np.float32)


def emit_score(
    scope: Scope, activity: Activity, x: str, rank: int, *, before: str = "", never_negative: bool = False
) -> str:
    """The score of `x` (1, ...) with `rank` axes, shape (1,); gives its name.

    `before` is what a change is measured against. `never_negative` says that no value of `x` is below 0.
    """
    axes = scope.constant(f"{scope.name}/axes", np.arange(1, rank))
    if activity in {Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE}:
        return _change(scope, x, before, axes)
    value = x
    if activity is Activity.SPARSITY:
        empty = scope.emit("Equal", [x, _zero(scope)], f"{scope.name}/empty")
        full = scope.emit("Not", [empty], f"{scope.name}/full")
        value = scope.emit("Cast", [full], f"{scope.name}/ones", to=ElementType.FLOAT)
    elif activity is Activity.RMS:
        value = scope.emit("Mul", [x, x], f"{scope.name}/square")
    elif not never_negative:
        value = scope.emit("Abs", [x], f"{scope.name}/abs")
    reduced = scope.emit(_REDUCTIONS[activity], [value, axes], f"{scope.name}/reduced", keepdims=0)
    return scope.emit("Sqrt", [reduced], f"{scope.name}/root") if activity is Activity.RMS else reduced


def emit_mean_of_codes(scope: Scope, codes: str, shape: Shape, scale: float) -> str:
    """The mean of uint8 codes (1, *shape) times their scale, shape (1,); gives its name.

    In integers: before floats can be added up they must be written, by hand four times as long on the largest
    blocks of ResNet-50.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    flat_shape = scope.constant(f"{scope.name}/flat_shape", np.asarray([rows, columns], np.int64))
    flat = scope.emit("Reshape", [codes, flat_shape], f"{scope.name}/flat")
    ones = scope.constant(f"{scope.name}/ones", np.ones((1, rows), np.uint8))
    sums = scope.emit("MatMulInteger", [ones, flat], f"{scope.name}/sums")
    # In floats: a large value's codes add up to more than an int32 holds.
    floats = scope.emit("Cast", [sums], f"{scope.name}/floats", to=ElementType.FLOAT)
    axes = scope.constant(f"{scope.name}/axes", np.arange(2))
    total = scope.emit("ReduceSum", [floats, axes], f"{scope.name}/total", keepdims=0)
    share = scope.constant(f"{scope.name}/share", np.asarray([scale / math.prod(shape)], np.float32))
    return scope.emit("Mul", [total, share], f"{scope.name}/mean")


_REDUCTIONS: Mapping[Activity, str] = {
    Activity.MEAN_ABS: "ReduceMean",
    Activity.RMS: "ReduceMean",
    Activity.MAX: "ReduceMax",
    Activity.SPARSITY: "ReduceMean",
}


def _zero(scope: Scope) -> str:
    return scope.constant(f"{scope.name}/zero", np.asarray(0, np.float32))


def _change(scope: Scope, x: str, before: str, axes: str) -> str:
    """|x - before| / |before| in the Euclidean norm."""
    size = scope.emit("ReduceL2", [before, axes], f"{scope.name}/size", keepdims=0)
    least = scope.emit("Max", [size, scope.constant(f"{scope.name}/tiny", _TINY)], f"{scope.name}/divisor")
    difference = scope.emit("Sub", [x, before], f"{scope.name}/difference")
    change = scope.emit("ReduceL2", [difference, axes], f"{scope.name}/change", keepdims=0)
    return scope.emit("Div", [change, least], f"{scope.name}/ratio")
