"""MLX as a speculative pipeline wants it: batches in its order of axes, scores, and one evaluation for all."""

from collections.abc import Sequence

import numpy as np

from tidegate.engines.engine import Array
from tidegate.engines.mlx.gate import margin, score
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.plan.axis_order import channels_last
from tidegate.models.ladder import Activity


class MlxLibrary:
    """Holds no state."""

    def given(self, batch: Array) -> Tensor:
        """Images with their channels last."""
        return mx.array(np.ascontiguousarray(np.transpose(batch, channels_last(batch.ndim))))

    def sample(self, batch: Tensor, index: int) -> Tensor:
        """One sample of a batch, as a batch."""
        return batch[index : index + 1]

    def score(self, activity: Activity, x: Tensor, before: Tensor | None) -> Tensor:
        """(samples,)."""
        return score(activity, x, before)

    def margin(self, answers: Tensor) -> Tensor:
        """(samples,)."""
        return margin(answers)

    def wait(self, answer: Tensor | None, scores: Sequence[Tensor]) -> tuple[Array | None, list[float]]:
        """The answer with its axes as the graph counts them."""
        mx.eval([each for each in (answer, *scores) if each is not None])
        return None if answer is None else _to_numpy(answer), [float(each.item()) for each in scores]


def _to_numpy(x: Tensor) -> Array:
    order = channels_last(x.ndim)
    found = np.transpose(np.array(x, np.float32), [order.index(axis) for axis in range(x.ndim)])
    return np.ascontiguousarray(found)
