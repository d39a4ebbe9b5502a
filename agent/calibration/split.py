"""Named, disjoint parts of one data set, recorded by hash so that nobody mixes them up later."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Part:
    """Some inputs with their labels: raw values of shape (n, *input shape), labels (n,), and where they came from.

    `indices` are the positions in the data set before the split, ascending.
    """

    inputs: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sha256(self) -> str:
        """Hash of contents and order: shape, inputs, labels."""
        digest = hashlib.sha256(repr(self.inputs.shape).encode())
        digest.update(np.ascontiguousarray(self.inputs).tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """One data set cut once: to train, to search (S), to certify (C), and to report only (V)."""

    name: str
    seed: int
    train: Part
    search: Part
    certify: Part
    report: Part

    @property
    def parts(self) -> dict[str, Part]:
        """The four parts by their names in the ladder file."""
        return {"train": self.train, "search": self.search, "certify": self.certify, "report": self.report}


def split_data(
    name: str,
    inputs: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    sizes: tuple[int, int, int, int],
    seed: int,
) -> Split:
    """Cut (n, ...) inputs at random into train, search, certify, report of the given sizes.

    Raises ValueError when the sizes ask for more than there is.
    """
    if sum(sizes) > len(labels):
        raise ValueError(f"{name}: the parts {sizes} need {sum(sizes)} inputs, there are {len(labels)}")
    order = np.random.default_rng(seed).permutation(len(labels))
    chunks = np.split(order, np.cumsum(sizes))[:4]
    parts = [Part(inputs[index], labels[index], index) for index in map(np.sort, chunks)]
    return Split(name, seed, *parts)
