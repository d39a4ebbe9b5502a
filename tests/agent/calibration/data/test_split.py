"""Parts are disjoint, complete and told apart by their hashes."""

import numpy as np
import pytest

from tidegate.calibration.data.digits.data import SIZES, load_split
from tidegate.calibration.data.split import Part, split_data


def test_digits_are_cut_into_disjoint_parts_that_use_every_image() -> None:
    split = load_split(0)
    assert tuple(map(len, split.parts.values())) == SIZES
    used = np.concatenate([part.indices for part in split.parts.values()])
    assert sorted(used.tolist()) == list(range(1797))


def test_the_cut_follows_the_seed() -> None:
    again, other = load_split(0), load_split(1)
    assert {k: p.sha256 for k, p in load_split(0).parts.items()} == {k: p.sha256 for k, p in again.parts.items()}
    assert load_split(0).certify.sha256 != other.certify.sha256


def test_the_hash_sees_inputs_labels_and_order() -> None:
    inputs = np.arange(8, dtype=np.uint8).reshape(2, 4)
    labels = np.array([0, 1])
    index = np.array([0, 1])
    hashes = {
        Part(inputs, labels, index).sha256,
        Part(inputs, labels[::-1], index).sha256,
        Part(inputs[::-1], labels, index).sha256,
        Part(inputs.reshape(4, 2), labels, index).sha256,
    }
    assert len(hashes) == 4


def test_asking_for_more_than_there_is_is_refused() -> None:
    with pytest.raises(ValueError, match="need 5 inputs, there are 4"):
        split_data("few", np.zeros((4, 1), np.uint8), np.zeros(4, np.int64), (2, 1, 1, 1), 0)
