"""A gate's score as MIL operators: the formulas of `tidegate.models.gates.activity`."""

from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.models.ladder import Activity


def emit_score(build: GraphBuilder, activity: Activity, x: Var) -> Var:
    """The score of a value, (1,). Means are taken over places first, then channels: fp16 holds each sum."""
    if activity is Activity.MAX:
        size = mb.abs(x=x, name=build.named("size"))
        return mb.reduce_max(x=size, axes=list(range(1, len(x.shape))), keep_dims=False, name=build.named("score"))
    if activity is Activity.SPARSITY:
        full = mb.not_equal(x=x, y=build.number(0.0), name=build.named("full"))
        return _mean(
            build, mb.cast(x=full, dtype="fp32" if build.format.is_wide else "fp16", name=build.named("one"))
        )
    if activity is Activity.RMS:
        # A square may be more than fp16 holds.
        wide = mb.cast(x=x, dtype="fp32", name=build.named("wide"))
        return mb.sqrt(x=_mean(build, mb.square(x=wide, name=build.named("square"))), name=build.named("score"))
    return _mean(build, mb.abs(x=x, name=build.named("size")))


def _mean(build: GraphBuilder, x: Var) -> Var:
    for axes in ([*range(2, len(x.shape))], [1]):
        if axes:
            x = mb.reduce_mean(x=x, axes=axes, keep_dims=False, name=build.named("mean"))
    return x
