"""A user's data as inputs and labels: one file per form."""

from pathlib import Path

from tidegate.calibration.data.datasets.dataset import DataError, Dataset
from tidegate.calibration.data.datasets.folder import ImageSpec, read_folder
from tidegate.calibration.data.datasets.idx import is_idx, read_idx
from tidegate.calibration.data.datasets.npz import read_npz

__all__ = ["DataError", "Dataset", "ImageSpec", "read_data"]


def read_data(path: Path, spec: ImageSpec) -> Dataset:
    """An .npz file, IDX files (one of images, or a directory of both), or a folder of images.

    Raises DataError saying what was found and what is allowed.
    """
    if path.suffix == ".npz":
        return read_npz(path)
    if is_idx(path):
        return read_idx(path)
    if path.is_dir():
        return read_folder(path, spec)
    raise DataError(f"{path}: is neither an .npz file nor an IDX file nor a folder")
