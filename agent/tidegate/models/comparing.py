"""Whether answers are other ones than the full model's: the same test at calibration and in shadow runs."""

import numpy as np
import numpy.typing as npt

from tidegate.models.bundle.evidence import Floats
from tidegate.models.ladder import Compared, Comparison

Mask = npt.NDArray[np.bool_]


def differ(comparison: Comparison, full: Floats, outputs: Floats) -> Mask:
    """Per sample whether the answer is another one; both arrays (samples, *output shape), the full model's first.

    Raises ValueError for a comparison by a function of the user's own, which only its calibration has.
    """
    if comparison.kind is Compared.BEST_CLASS:
        return np.asarray(full.argmax(1) != outputs.argmax(1))
    if comparison.bound is None:
        raise ValueError(f"answers can't be compared here: by {comparison.kind}")
    if comparison.kind is Compared.THRESHOLD:
        return np.asarray((full[:, 0] > comparison.bound) != (outputs[:, 0] > comparison.bound))
    if comparison.kind is Compared.COSINE:
        norms = np.linalg.norm(full, axis=1) * np.linalg.norm(outputs, axis=1)
        cosine = (full * outputs).sum(1) / np.maximum(norms, np.finfo(np.float32).tiny)
        return np.asarray(1 - cosine > comparison.bound)
    return np.asarray(np.linalg.norm(full - outputs, axis=1) > comparison.bound)
