"""Fit on one part, judge on another: each sample is answered by a fit that hasn't seen it."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from tidegate.calibration.fit.ridge import Linear, Rows

FOLDS = 4

Fit = Callable[[Rows, Rows], Linear]


def cross_fitted(features: Rows, outputs: Rows, fit: Fit) -> Rows:
    """Answers (n, outputs) on features (n, features), each fold's from a fit on the other folds; n at least 2."""
    answers = np.empty_like(outputs)
    for fitted_on, judged in folds(len(features)):
        answers[judged] = fit(features[fitted_on], outputs[fitted_on])(features[judged])
    return answers


def folds(samples: int) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Which samples are fitted on, and which are judged, fold by fold."""
    fold = np.arange(samples) % min(FOLDS, samples)
    for index in range(min(FOLDS, samples)):
        yield fold != index, fold == index
