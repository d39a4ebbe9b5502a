"""Data in every form that a build takes, and what is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tidegate.calibration.data.datasets import DataError, ImageSpec, read_data

IMAGES = ImageSpec(8)
PIXELS = np.arange(3 * 6 * 5, dtype=np.uint8).reshape(3, 6, 5)


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def test_idx_files_are_read_with_the_labels_beside_them(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([3, 1, 2], np.uint8)))
    for path in (tmp_path, tmp_path / "train-images-idx3-ubyte"):
        data = read_data(path, IMAGES)
        assert np.array_equal(data.inputs, PIXELS[:, None])
        assert data.labels is not None
        assert data.labels.tolist() == [3, 1, 2]


def test_gzipped_idx_without_labels(tmp_path: Path) -> None:
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(PIXELS)))
    data = read_data(tmp_path, IMAGES)
    assert data.labels is None
    assert data.inputs.shape == (3, 1, 6, 5)


def test_npz_pixels_come_channels_first_and_floats_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", inputs=np.zeros((2, 6, 5, 3), np.uint8), labels=np.array([0, 1]))
    np.savez(tmp_path / "b.npz", inputs=np.ones((2, 7), np.float32))
    assert read_data(tmp_path / "a.npz", IMAGES).inputs.shape == (2, 3, 6, 5)
    floats = read_data(tmp_path / "b.npz", IMAGES)
    assert (floats.scale, floats.labels) == (1.0, None)


def test_a_folder_per_class_gives_labels_and_names(tmp_path: Path) -> None:
    for name, colour, size in (("cat", (255, 0, 0), (16, 8)), ("ant", (0, 255, 0), (8, 20))):
        (tmp_path / name).mkdir()
        Image.new("RGB", size, colour).save(tmp_path / name / "1.png")
    data = read_data(tmp_path, IMAGES)
    assert data.classes == ("ant", "cat")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]
    assert data.inputs.shape == (2, 3, 8, 8)
    assert (data.inputs[0].reshape(3, -1) == [[0], [255], [0]]).all()
    assert read_data(tmp_path, ImageSpec(8, grey=True)).inputs.shape == (2, 1, 8, 8)


def pickled(path: Path) -> None:
    np.savez(path, inputs=np.array([{"code": 1}], dtype=object))


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.npz", lambda path: path.write_bytes(b"PK no"), "a.npz"),
        ("a.npz", pickled, "allow_pickle"),
        ("a.npz", lambda path: np.savez(path, pictures=PIXELS), r"holds \['pictures'\]"),
        ("a.npz", lambda path: np.savez(path, inputs=PIXELS.astype(np.int64)), "allowed are uint8"),
        ("a.npz", lambda path: np.savez(path, inputs=PIXELS, labels=np.zeros(3)), "needed are integers"),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(b"\0\0\x0d\x03"), "is not an IDX file of bytes"),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(idx(PIXELS)[:-1]), "needs 90"),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(idx(PIXELS)[:6]), "within its header"),
        ("empty", lambda path: path.mkdir(), "no images"),
        ("text.txt", lambda path: path.write_text("x"), "is neither an .npz file"),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(tmp_path: Path, name: str, write: object, words: str) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=words):
        read_data(tmp_path / name, IMAGES)
