"""A gate's score and an exit's margin as LiteRT operators."""

import numpy as np

from tidegate.engines.litert.graph_builder import GraphBuilder, Value
from tidegate.engines.litert.options import options
from tidegate.models.ladder import Activity


def emit_score(build: GraphBuilder, activity: Activity, x: Value, never_negative: bool) -> int:
    """The score of a value in float32, a tensor (1,): the formulas of `tidegate.models.gates.activity`."""
    places = build.constant(np.arange(1, len(x.shape)), np.int32)
    value = x
    if activity is Activity.SPARSITY:
        full = build.model.tensor(f"full{x.tensor}", x.physical, bool)
        build.model.emit("NOT_EQUAL", [x.tensor, build.constant(0.0)], [full], options("NotEqual"))
        inputs = [full, build.constant(1.0), build.constant(0.0)]
        value = build.emit("SELECT_V2", inputs, build.new(x.shape, x.order), options("SelectV2"))
    elif activity is Activity.RMS:
        value = build.emit("MUL", [x.tensor, x.tensor], build.new(x.shape, x.order), options("Mul"))
    elif not never_negative:
        value = build.emit("ABS", [x.tensor], build.new(x.shape, x.order))
    score = build.model.tensor(f"score{x.tensor}", (1,))
    kind = "REDUCE_MAX" if activity is Activity.MAX else "MEAN"
    build.model.emit(kind, [value.tensor, places], [score], options("Reducer", keepDims=False))
    if activity is not Activity.RMS:
        return score
    root = build.model.tensor(f"root{x.tensor}", (1,))
    build.model.emit("SQRT", [score], [root])
    return root


def emit_best_two(build: GraphBuilder, answers: Value) -> int:
    """The two largest probabilities of (1, classes), a tensor (1, 2)."""
    shares = build.emit(
        "SOFTMAX", [answers.tensor], build.new(answers.shape, answers.order), options("Softmax", beta=1.0)
    )
    best = build.model.tensor(f"best{answers.tensor}", (1, 2))
    which = build.model.tensor(f"which{answers.tensor}", (1, 2), np.int32)
    build.model.emit("TOPK_V2", [shares.tensor, build.constant(2, np.int32)], [best, which], options("TopKV2"))
    return best
