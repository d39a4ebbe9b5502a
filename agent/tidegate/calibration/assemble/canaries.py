"""Choosing the inputs by which a device later proves that it computes what calibration computed."""

from collections.abc import Sequence

import numpy as np

from tidegate.calibration.data.batches import answer_all
from tidegate.engines.engine import Array, Variant
from tidegate.models.bundle.evidence import Canaries, Indices
from tidegate.models.comparing import answers, clearness
from tidegate.models.ladder import Compared, Comparison

PER_CLASS = 2
AT_MOST = 20
"""A switch is verified on all of them before it counts, so that many classes must not make it slow."""

_BY_MARGIN = {Compared.BEST_CLASS, Compared.THRESHOLD, Compared.OWN}


def choose_canaries(variants: Sequence[Variant], inputs: Array, comparison: Comparison) -> Canaries:
    """From part S: inputs whose answers are clear at every point, so that rounding isn't taken for a fault.

    Of answers that are classes, those of each class with the widest margin; of others, those that are most clearly
    the full model's. `variants` are the ladder's points, each on the engine that it was certified on, the full one
    first.
    """
    outputs = [answer_all(variant, inputs).outputs for variant in variants]
    full = outputs[0]
    if comparison.kind in _BY_MARGIN:
        clear = np.min([_margins(comparison, values) for values in outputs], axis=0)
        given = answers(comparison, full, full)
        chosen = np.concatenate([_widest(clear, np.flatnonzero(given == answer)) for answer in np.unique(given)])
    else:
        clear = np.min([clearness(comparison, full, values) for values in outputs], axis=0)
        chosen = np.arange(len(inputs))
    chosen = chosen[np.argsort(-clear[chosen], kind="stable")[:AT_MOST]]
    top1 = {
        variant.point.name: answers(comparison, full[chosen], values[chosen])
        for variant, values in zip(variants, outputs, strict=True)
    }
    return Canaries(inputs[chosen], full[chosen], top1, comparison)


def _margins(comparison: Comparison, outputs: Array) -> Array:
    """Top-1 minus top-2 of each row, in units of the rows' spread, so that points compare.

    Of a single output, the distance from the bound that answers lie on the sides of, or from the middle of all.
    """
    if outputs.shape[1] < 2:
        bound = np.median(outputs[:, 0]) if comparison.bound is None else comparison.bound
        return np.asarray(np.abs(outputs[:, 0] - bound), np.float32)
    ordered = np.sort(outputs, axis=1)
    margins: Array = (ordered[:, -1] - ordered[:, -2]) / outputs.std(axis=1)
    return margins


def _widest(margins: Array, candidates: Indices) -> Indices:
    return np.asarray(candidates[np.argsort(-margins[candidates], kind="stable")[:PER_CLASS]], np.int64)
