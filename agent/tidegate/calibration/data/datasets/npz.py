"""numpy's .npz: `inputs` (n, ...) of any numbers, or an array for each input by its name, to be joined.

`labels` (n,) or `objects` (n, most, 5) if there are any.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tidegate.calibration.data.datasets.dataset import DataError, Dataset, channels_first, raw_values
from tidegate.models.bundle.evidence import Objects


def read_npz(path: Path) -> Dataset:
    """uint8 inputs as pixels scaled to 0..1, all others as they are. Unpickles nothing. Raises DataError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}") from error
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) == 0:
            raise DataError(
                f"{path}: {name} has the shape {array.shape}; needed is (n, ...), with an n of 1 or more"
            )
    named = {name: array for name, array in sorted(arrays.items()) if name not in {"labels", "objects"}}
    if not {"inputs", "objects"} & arrays.keys() and len(named) > 1:
        return _joined(path, named, arrays.get("labels"))
    if "inputs" not in arrays or not set(arrays) <= {"inputs", "labels", "objects"} or len(arrays) > 2:
        raise DataError(
            f"{path}: holds {sorted(arrays)}, needed are `inputs`, or an array for each of a model's inputs by "
            "its name, and, if there are any, `labels` or `objects`"
        )
    labels = None if "labels" not in arrays else _labels(path, arrays["labels"], len(arrays["inputs"]))
    objects = None if "objects" not in arrays else _objects(path, arrays["objects"], len(arrays["inputs"]))
    given = arrays["inputs"]
    inputs, scale, whole = raw_values(channels_first(given) if given.dtype == np.uint8 else given, str(path))
    return Dataset(path.name, inputs, labels, None, scale, objects=objects, whole=whole)


def _joined(
    path: Path, named: Mapping[str, npt.NDArray[np.generic]], labels: npt.NDArray[np.generic] | None
) -> Dataset:
    """Several inputs as one, each flattened, in the order of their names. Raises DataError."""
    n = len(next(iter(named.values())))
    for name, array in named.items():
        if array.ndim < 2 or len(array) != n or array.dtype.kind not in "iufb" or array.dtype == np.uint8:
            raise DataError(
                f"{path}: {name} is {array.dtype} {array.shape}; needed are floats, truth values or whole numbers "
                f"wider than uint8, ({n}, ...), as many as of the other inputs"
            )
    whole = all(array.dtype.kind != "f" for array in named.values())
    # Each checked by its own numbers: together they would be of a type that may hold less.
    values = [
        raw_values(array.astype(np.int8) if array.dtype.kind == "b" else array, f"{path}: {name}")[0]
        for name, array in named.items()
    ]
    inputs = np.concatenate([each.reshape(n, -1) for each in values], 1)
    known = None if labels is None else _labels(path, labels, n)
    parts = {name: tuple(array.shape[1:]) for name, array in named.items()}
    return Dataset(path.name, inputs, known, None, 1.0, whole=whole, parts=parts)


def _labels(path: Path, labels: npt.NDArray[np.generic], n: int) -> npt.NDArray[np.int64]:
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{path}: labels are {labels.dtype} {labels.shape}; needed are integers ({n},)")
    return labels.astype(np.int64)


def _objects(path: Path, objects: npt.NDArray[np.generic], n: int) -> Objects:
    if objects.ndim != 3 or (objects.shape[0], objects.shape[2]) != (n, 5) or objects.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: objects are {objects.dtype} {objects.shape}; needed are numbers ({n}, most, 5): "
            "class, left, top, right and bottom in pixels, and a class of -1 where there are fewer"
        )
    return objects.astype(np.float32)
