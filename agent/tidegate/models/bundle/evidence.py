"""The data a bundle carries beside its weights: canaries to verify a switch, samples to show it at work."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.models.comparing import answers
from tidegate.models.ladder import Comparison

Floats = npt.NDArray[np.float32]
Raw = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""As files and cameras give them: bytes of pixels, or floats."""

Indices = npt.NDArray[np.int64]

Objects = npt.NDArray[np.float32]
"""Labelled objects (n, most, 5): class, left, top, right, bottom in pixels; a class below 0 fills up."""

Truth = Indices | Objects
"""What is known of inputs: labels (n,), or objects."""


@dataclass(frozen=True, slots=True)
class Canaries:
    """Inputs (n, *input shape) with the answers they got at calibration.

    `outputs` (n, *output shape) are the full point's; `top1` holds each operating point's `answers` (n,) by name,
    as `comparison` tells them apart. They come from the search part and are chosen for clear margins: they tell a
    broken device or a broken switch, not an accuracy.
    """

    inputs: Floats
    outputs: Floats
    top1: Mapping[str, Indices]
    comparison: Comparison

    def agreement(self, point: str, outputs: Floats) -> float:
        """Share of canaries on which a point's outputs (n, *output shape) give the answers of calibration."""
        return float((answers(self.comparison, self.outputs, outputs) == self.top1[point]).mean())

    def is_answered(self, point: str, index: int, output: Floats) -> bool:
        """Whether a point's output (*output shape) for one canary gives the answer of calibration."""
        outputs = self.outputs.copy()
        outputs[index] = output
        return bool(answers(self.comparison, self.outputs, outputs)[index] == self.top1[point][index])


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
