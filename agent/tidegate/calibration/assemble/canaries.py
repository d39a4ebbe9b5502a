"""Choosing the inputs by which a device later proves that it computes what calibration computed."""

from collections.abc import Sequence

import numpy as np

from tidegate.calibration.data.batches import answer_all
from tidegate.engines.engine import Array, Variant
from tidegate.models.bundle.evidence import Canaries, answers

PER_CLASS = 2
AT_MOST = 20
"""A switch is verified on all of them before it counts, so that many classes must not make it slow."""


def choose_canaries(variants: Sequence[Variant], inputs: Array) -> Canaries:
    """From part S: per class of the full model's answers the inputs with the widest margin at every point.

    `variants` are the ladder's points, each on the engine that it was certified on, the full one first.

    A wide margin keeps another machine's rounding from being taken for a fault.
    """
    outputs = [answer_all(variant, inputs).outputs for variant in variants]
    narrowest = np.min([_margins(values) for values in outputs], axis=0)
    given = answers(outputs[0], outputs[0])
    chosen = np.concatenate([_widest(narrowest, np.flatnonzero(given == answer)) for answer in np.unique(given)])
    chosen = chosen[np.argsort(-narrowest[chosen], kind="stable")[:AT_MOST]]
    top1 = {
        variant.point.name: answers(values[chosen], outputs[0][chosen])
        for variant, values in zip(variants, outputs, strict=True)
    }
    return Canaries(inputs[chosen], outputs[0][chosen], top1)


def _margins(outputs: Array) -> Array:
    """Top-1 minus top-2 of each row, in units of the rows' spread, so that points compare.

    Of a single output, the distance from the middle of all.
    """
    if outputs.shape[1] < 2:
        middle: Array = np.abs(outputs[:, 0] - np.median(outputs[:, 0]))
        return middle
    ordered = np.sort(outputs, axis=1)
    margins: Array = (ordered[:, -1] - ordered[:, -2]) / outputs.std(axis=1)
    return margins


def _widest(
    margins: Array, candidates: np.ndarray[tuple[int], np.dtype[np.intp]]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    return candidates[np.argsort(-margins[candidates], kind="stable")[:PER_CLASS]]
