"""Gates' scores and exits' margins: the formulas of `tidegate.models.gates`, for any number of samples."""

import numpy as np

from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.models.ladder import Activity

_TINY = float(np.finfo(np.float32).tiny)


def score(activity: Activity, x: Tensor, before: Tensor | None) -> Tensor:
    """(samples,) of values (samples, ...); `before` is what activities that look back compare with."""
    axes = tuple(range(1, x.ndim))
    if before is not None:
        return _norm(x - before) / mx.maximum(_norm(before), _TINY)
    match activity:
        case Activity.RMS:
            return mx.sqrt(mx.mean(mx.square(x), axis=axes))
        case Activity.MAX:
            return mx.max(mx.abs(x), axis=axes)
        case Activity.SPARSITY:
            return mx.mean((x != 0).astype(mx.float32), axis=axes)
        case _:
            return mx.mean(mx.abs(x), axis=axes)


def margin(answers: Tensor) -> Tensor:
    """Best minus second-best softmax probability, (samples, classes) to (samples,)."""
    best = mx.topk(mx.softmax(answers, axis=1, precise=True), 2, axis=1)
    return mx.max(best, axis=1) - mx.min(best, axis=1)


def _norm(x: Tensor) -> Tensor:
    return mx.sqrt(mx.sum(mx.square(x), axis=tuple(range(1, x.ndim))))
