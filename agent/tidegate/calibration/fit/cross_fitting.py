"""Fit on one part, judge on another: each sample is answered by a fit that hasn't seen it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.calibration.fit.ridge import Linear, Rows

FOLDS = 4

Fit = Callable[[Rows, Rows], Linear]


@dataclass(frozen=True, slots=True)
class CrossFit:
    """One fit per fold, on all samples but the fold's."""

    fits: tuple[Linear, ...]

    @classmethod
    def of(cls, features: Rows, outputs: Rows, fit: Fit) -> "CrossFit":
        """From features (n, features) and outputs (n, outputs); n at least 2."""
        return cls(tuple(fit(features[fitted_on], outputs[fitted_on]) for fitted_on, _ in folds(len(features))))

    def __call__(self, features: Rows) -> Rows:
        """Answers (n, outputs) on the features (n, features) of the same samples in the same order.

        The features may have been computed in another way than those that were fitted on.
        """
        judged = [fold for _, fold in folds(len(features))]
        answers = np.empty((len(features), len(self.fits[0].bias)), np.float32)
        for fold, fit in zip(judged, self.fits, strict=True):
            answers[fold] = fit(features[fold])
        return answers


def folds(samples: int) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Which samples are fitted on, and which are judged, fold by fold."""
    fold = np.arange(samples) % min(FOLDS, samples)
    for index in range(min(FOLDS, samples)):
        yield fold != index, fold == index
