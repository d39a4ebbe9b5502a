"""The data a bundle carries beside its weights: canaries to verify a switch, samples to show it at work."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Raw = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""As files and cameras give them: bytes of pixels, or floats."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Canaries:
    """Inputs (n, *input shape) with the answers they got at calibration.

    `outputs` (n, *output shape) are the full point's; `top1` holds each operating point's `answers` (n,) by name.
    They come from the search part and are chosen for clear margins: they tell a broken device or a broken
    switch, not an accuracy.
    """

    inputs: Floats
    outputs: Floats
    top1: Mapping[str, Indices]

    def agreement(self, point: str, outputs: Floats) -> float:
        """Share of canaries on which a point's outputs (n, classes) give the answers they gave at calibration."""
        return float((answers(outputs, self.outputs) == self.top1[point]).mean())


def answers(outputs: Floats, full: Floats) -> Indices:
    """The best class of each row; of a single output, whether it is above the middle of the full model's."""
    best: Indices = outputs.argmax(1)
    return best if outputs.shape[1] > 1 else (outputs[:, 0] > np.median(full[:, 0])).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Samples:
    """Report-only inputs, raw (n, *input shape), with labels (n,) if there are any: no part of calibration."""

    raw: Raw
    labels: Indices | None
    scale: float

    def inputs(self) -> Floats:
        """The model's inputs (n, *input shape)."""
        return scaled(self.raw, self.scale)


def scaled(raw: Raw, scale: float) -> Floats:
    """Raw values as the model's float32 input."""
    return raw.astype(np.float32) * np.float32(scale)
