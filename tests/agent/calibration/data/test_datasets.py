"""Data in every form that a build takes, and what is refused."""

import gzip
import struct
import zlib
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
    assert (floats.scale, floats.labels, floats.whole) == (1.0, None, False)
    np.savez(tmp_path / "c.npz", inputs=np.full((2, 7), 2**24))
    words = read_data(tmp_path / "c.npz", IMAGES)
    assert (words.scale, words.whole, int(words.inputs.max())) == (1.0, True, 2**24)


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


def png_that_claims(width: int, height: int) -> bytes:
    """A header of this size, and no pixels behind it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


def picture_file(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "a.png").write_bytes(content)


def pickled(path: Path) -> None:
    np.savez(path, inputs=np.array([{"code": 1}], dtype=object))


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("a.npz", lambda path: path.write_bytes(b"PK no"), "a.npz"),
        ("a.npz", pickled, "allow_pickle"),
        ("a.npz", lambda path: np.savez(path, pictures=PIXELS), r"holds \['pictures'\]"),
        ("a.npz", lambda path: np.savez(path, inputs=PIXELS > 3), "allowed are uint8"),
        ("a.npz", lambda path: np.savez(path, inputs=np.asarray([2**24 + 1])), "allowed are 16777216 either way"),
        ("a.npz", lambda path: np.savez(path, inputs=PIXELS, labels=np.zeros(3)), "needed are integers"),
        ("a.npz", lambda path: np.savez(path, inputs=PIXELS, objects=np.zeros((3, 2))), r"most, 5\): class, left"),
        (
            "a.npz",
            lambda path: np.savez(path, inputs=PIXELS, labels=PIXELS, objects=PIXELS),
            "`labels` or `objects`",
        ),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(b"\0\0\x0d\x03"), "is not an IDX file of bytes"),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(idx(PIXELS)[:-1]), "needs 90"),
        ("x-images-idx3-ubyte", lambda path: path.write_bytes(idx(PIXELS)[:6]), "within its header"),
        ("a.npz", lambda path: np.savez(path, a=1, b=2), r"a has the shape \(\)"),
        ("a.npz", lambda path: np.savez(path, inputs=np.float32(3), labels=PIXELS), r"inputs has the shape \(\)"),
        ("a.npz", lambda path: np.savez(path, a=np.ones((0, 2)), b=np.ones((0, 2))), "an n of 1 or more"),
        ("a.npz", lambda path: np.savez(path, inputs=np.asarray([[1.0, np.nan]])), r"nan at \(0, 1\)"),
        ("a.npz", lambda path: np.savez(path, a=np.asarray([[1e300]]), b=np.ones((1, 2))), r"a: 1e\+300 at"),
        (
            "a.npz",
            lambda path: np.savez(path, a=np.asarray([[2**25]]), b=np.ones((1, 2))),
            "a: whole numbers reach",
        ),
        (
            "a.npz",
            lambda path: np.savez(path, a=np.asarray([[2**64 - 1]], np.uint64), b=np.ones((1, 2), int)),
            "a: whole numbers reach from 18446744073709551615",
        ),
        ("bomb", lambda path: picture_file(path, png_that_claims(30_000, 30_000)), "decompression bomb"),
        ("torn", lambda path: picture_file(path, png_that_claims(40, 40)), "take it out"),
        (
            "thin",
            lambda path: picture_file(path, png_that_claims(60_000, 2)),
            "60000x2 pixels, allowed is a side 100",
        ),
        ("text", lambda path: picture_file(path, b"no picture"), "cannot identify"),
        ("empty", lambda path: path.mkdir(), "no images"),
        ("text.txt", lambda path: path.write_text("x"), "is neither an .npz file"),
    ],
)
def test_what_can_not_be_read_is_refused_by_name(tmp_path: Path, name: str, write: object, words: str) -> None:
    write(tmp_path / name)
    with pytest.raises(DataError, match=words):
        read_data(tmp_path / name, IMAGES)
