"""Named, disjoint parts of one data set, recorded by hash so that nobody mixes them up later."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.models.bundle.evidence import Objects, Raw, Truth


@dataclass(frozen=True, slots=True)
class Part:
    """Some inputs: raw values (n, *input shape), labels (n,) and objects if there are any, and where
    they came from.

    `indices` are the positions in the data set before the split, ascending.
    """

    inputs: Raw
    labels: npt.NDArray[np.int64] | None
    indices: npt.NDArray[np.int64]
    objects: Objects | None = None

    @property
    def known_labels(self) -> npt.NDArray[np.int64]:
        """The labels. Raises ValueError for data that have none."""
        if self.labels is None:
            raise ValueError("this part of the data has no labels")
        return self.labels

    @property
    def truth(self) -> Truth | None:
        """What is known of the inputs: objects or labels."""
        return self.labels if self.objects is None else self.objects

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def sha256(self) -> str:
        """Hash of contents and order: shape and type, inputs, labels."""
        digest = hashlib.sha256(repr((self.inputs.shape, self.inputs.dtype.str)).encode())
        digest.update(np.ascontiguousarray(self.inputs).tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        if self.objects is not None:
            digest.update(np.ascontiguousarray(self.objects, dtype="<f4").tobytes())
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
    inputs: Raw,
    labels: npt.NDArray[np.int64] | None,
    sizes: tuple[int, int, int, int],
    seed: int,
    objects: Objects | None = None,
) -> Split:
    """Cut (n, ...) inputs at random into train, search, certify, report of the given sizes.

    Raises ValueError when the sizes ask for more than there is.
    """
    if sum(sizes) > len(inputs):
        raise ValueError(f"{name}: the parts {sizes} need {sum(sizes)} inputs, there are {len(inputs)}")
    order = np.random.default_rng(seed).permutation(len(inputs))
    chunks = np.split(order, np.cumsum(sizes))[:4]
    parts = [
        Part(
            inputs[index],
            None if labels is None else labels[index],
            index,
            None if objects is None else objects[index],
        )
        for index in map(np.sort, chunks)
    ]
    return Split(name, seed, *parts)
