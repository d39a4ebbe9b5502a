"""torch on a device of its own, for a speculative pipeline: one copy back for an answer and all its scores."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tidegate.engines.engine import Array
from tidegate.models.gates.activity import relative_change, score_of
from tidegate.models.gates.gate import GateInput
from tidegate.models.ladder import Activity


class TorchLibrary:
    """`device` and `dtype` are what the programs compute on and in. Used by one thread at a time."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._buffer = torch.empty(0, device=device)

    def given(self, batch: Array) -> Tensor:
        """A copy on the device."""
        return torch.from_numpy(np.require(batch, np.float32, ["C", "W"])).to(self._device, self._dtype)

    def sample(self, batch: Tensor, index: int) -> Tensor:
        """One sample of a batch, as a batch."""
        return batch[index : index + 1]

    def score(self, activity: Activity, x: Tensor, before: Tensor | None) -> Tensor:
        """(samples,), in float32: squares may be more than a narrow width holds."""
        if before is not None:
            return relative_change(x.float(), before.float())
        return score_of(activity)(GateInput(x.float(), None))

    def margin(self, answers: Tensor) -> Tensor:
        """(samples,)."""
        best = answers.float().softmax(1).topk(2, dim=1).values
        return best[:, 0] - best[:, 1]

    def wait(self, answer: Tensor | None, scores: Sequence[Tensor]) -> tuple[Array | None, list[float]]:
        """All of it goes through one buffer, so that the device is waited for once."""
        parts = [each.reshape(-1).float() for each in (*scores, *([] if answer is None else [answer]))]
        size = sum(part.numel() for part in parts)
        if self._buffer.numel() < size:
            self._buffer = torch.empty(size, device=self._device)
        torch.cat(parts, out=self._buffer[:size])
        told = self._buffer[:size].cpu().numpy().copy()
        found = [float(each) for each in told[: len(scores)]]
        return None if answer is None else told[len(scores) :].reshape(tuple(answer.shape)), found
