"""A gate's score as Core AI operators: the formulas of `tidegate.models.gates.activity`."""

from tidegate.engines.coreai.elementwise import as_numbers, widened
from tidegate.engines.coreai.graph_builder import GraphBuilder, axes, reshaped, shape_of
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.models.ladder import Activity


def emit_score(build: GraphBuilder, activity: Activity, x: Value) -> Value:
    """The score of a value, (1,), fp32. Means are taken over places first, then channels."""
    match activity:
        case Activity.MAX:
            every = list(range(1, len(shape_of(x))))
            return reshaped(widened(ops.reduce_max(ops.abs_(x), axes(every))), [1])
        case Activity.SPARSITY:
            return _mean(as_numbers(build, ops.broadcasting_not_equal(x, build.number(0))))
        case Activity.RMS:
            wide = widened(x)
            return ops.sqrt(_mean(ops.broadcasting_mul(wide, wide)))
        case _:
            return _mean(ops.abs_(x))


def _mean(x: Value) -> Value:
    wide = widened(x)
    if len(shape_of(x)) > 2:
        wide = ops.reduce_mean(wide, axes(list(range(2, len(shape_of(x))))))
    return reshaped(ops.reduce_mean(wide, axes([1])), [1])
