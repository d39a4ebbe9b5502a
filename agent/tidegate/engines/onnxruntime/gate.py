"""A gate's score as ONNX operators, the formulas of `tidegate.models.gates.activity`; for one sample at a time."""

import math
from collections.abc import Mapping

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.protobuf import ElementType
from tidegate.models.ladder import Activity
from tidegate.models.network import Shape

_TINY = np.asarray(np.finfo(np.float32).tiny, np.float32)


def emit_score(
    build: GraphBuilder, activity: Activity, x: str, rank: int, *, before: str = "", never_negative: bool = False
) -> str:
    """The score of `x` (1, ...) with `rank` axes, shape (1,); gives its name.

    `before` is what a change is measured against. `never_negative` says that no value of `x` is below 0.
    """
    axes = build.constant(f"{build.name}/axes", np.arange(1, rank))
    if activity in {Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE}:
        return _change(build, x, before, axes)
    value = x
    if activity is Activity.SPARSITY:
        empty = build.emit("Equal", [x, _zero(build)], f"{build.name}/empty")
        full = build.emit("Not", [empty], f"{build.name}/full")
        value = build.emit("Cast", [full], f"{build.name}/ones", to=ElementType.FLOAT)
    elif activity is Activity.RMS:
        value = build.emit("Mul", [x, x], f"{build.name}/square")
    elif not never_negative:
        value = build.emit("Abs", [x], f"{build.name}/abs")
    reduced = build.emit(_REDUCTIONS[activity], [value, axes], f"{build.name}/reduced", keepdims=0)
    return build.emit("Sqrt", [reduced], f"{build.name}/root") if activity is Activity.RMS else reduced


def emit_mean_of_codes(build: GraphBuilder, codes: str, shape: Shape, scale: float) -> str:
    """The mean of uint8 codes (1, *shape) times their scale, shape (1,); gives its name.

    In integers: before floats can be added up they must be written, by hand four times as long on the largest
    blocks of ResNet-50.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    flat_shape = build.constant(f"{build.name}/flat_shape", np.asarray([rows, columns], np.int64))
    flat = build.emit("Reshape", [codes, flat_shape], f"{build.name}/flat")
    ones = build.constant(f"{build.name}/ones", np.ones((1, rows), np.uint8))
    sums = build.emit("MatMulInteger", [ones, flat], f"{build.name}/sums")
    # In floats: a large value's codes add up to more than an int32 holds.
    floats = build.emit("Cast", [sums], f"{build.name}/floats", to=ElementType.FLOAT)
    axes = build.constant(f"{build.name}/axes", np.arange(2))
    total = build.emit("ReduceSum", [floats, axes], f"{build.name}/total", keepdims=0)
    share = build.constant(f"{build.name}/share", np.asarray([scale / math.prod(shape)], np.float32))
    return build.emit("Mul", [total, share], f"{build.name}/mean")


_REDUCTIONS: Mapping[Activity, str] = {
    Activity.MEAN_ABS: "ReduceMean",
    Activity.RMS: "ReduceMean",
    Activity.MAX: "ReduceMax",
    Activity.SPARSITY: "ReduceMean",
}


def _zero(build: GraphBuilder) -> str:
    return build.constant(f"{build.name}/zero", np.asarray(0, np.float32))


def _change(build: GraphBuilder, x: str, before: str, axes: str) -> str:
    """|x - before| / |before| in the Euclidean norm."""
    size = build.emit("ReduceL2", [before, axes], f"{build.name}/size", keepdims=0)
    least = build.emit("Max", [size, build.constant(f"{build.name}/tiny", _TINY)], f"{build.name}/divisor")
    difference = build.emit("Sub", [x, before], f"{build.name}/difference")
    change = build.emit("ReduceL2", [difference, axes], f"{build.name}/change", keepdims=0)
    return build.emit("Div", [change, least], f"{build.name}/ratio")
