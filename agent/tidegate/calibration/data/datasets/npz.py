"""numpy's .npz: `inputs` (n, ...) uint8 or float32, and `labels` (n,) if there are any."""

import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets.dataset import PIXEL_SCALE, DataError, Dataset, channels_first


def read_npz(path: Path) -> Dataset:
    """Raises DataError; nothing in the file is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}") from error
    if "inputs" not in arrays or not set(arrays) <= {"inputs", "labels"}:
        raise DataError(f"{path}: holds {sorted(arrays)}, needed are `inputs` and, if there are any, `labels`")
    labels = None if "labels" not in arrays else _labels(path, arrays["labels"], len(arrays["inputs"]))
    inputs = arrays["inputs"]
    if inputs.dtype == np.uint8:
        return Dataset(path.name, channels_first(inputs), labels, None, PIXEL_SCALE)
    if inputs.dtype == np.float32:
        return Dataset(path.name, inputs, labels, None, 1.0)
    raise DataError(f"{path}: inputs are {inputs.dtype}; allowed are uint8 (pixels) and float32 (as they are)")


def _labels(path: Path, labels: npt.NDArray[np.generic], n: int) -> npt.NDArray[np.int64]:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: labels are {labels.dtype} {labels.shape}; needed are integers ({n},)")
    return labels.astype(np.int64)
