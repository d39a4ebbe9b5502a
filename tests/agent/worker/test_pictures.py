"""Pictures in requests: decoded as calibration decodes them, at the network's size; harmful ones are refused."""

import io
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("PIL", reason="needs Pillow")

from PIL import Image

from tidegate.calibration.data.datasets import ImageSpec, read_data
from tidegate.worker.pictures import MAX_PIXELS, sample_of, takes_pictures
from tidegate.worker.protocol.elements import elements
from tidegate.worker.protocol.refusals import BadRequest


def scene(width: int, height: int) -> Image.Image:
    """Smooth, as cameras' pictures are at this scale."""
    across, down = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    planes = [127 + 120 * np.sin(across + phase) * np.cos(down) for phase in (0, 1, 2)]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


JPEG = encoded(scene(800, 600), "JPEG", quality=95)
PNG = encoded(scene(90, 70), "PNG")


@pytest.mark.parametrize(("shape", "size", "grey"), [((3, 48, 48), 48, False), ((1, 32, 32), 32, True)])
def test_a_png_gives_the_very_pixels_that_calibration_saw(
    tmp_path: Path, shape: tuple[int, ...], size: int, grey: bool
) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    assert np.array_equal(sample_of(PNG, shape, "here"), read_data(tmp_path, ImageSpec(size, grey)).inputs[0])


def test_a_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    whole = read_data(tmp_path, ImageSpec(48)).inputs[0].astype(int)
    small = sample_of(JPEG, (3, 48, 48), "here").astype(int)
    assert np.abs(whole - small).mean() < 1.0
    assert np.abs(whole - small).max() < 12


def test_a_network_that_is_not_square_gets_the_middle() -> None:
    pixels = sample_of(PNG, (3, 20, 60), "here")
    assert pixels.shape == (3, 20, 60)
    middle = scene(90, 70).resize((60, 47)).crop((0, 13, 60, 33))
    assert np.array_equal(pixels, np.moveaxis(np.asarray(middle), -1, 0))


def bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it has this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither of them"),
        (b"GIF89a", "neither of them"),
        (encoded(scene(9, 9), "GIF"), "neither of them"),
        (encoded(scene(9, 9), "BMP"), "neither of them"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (PNG[: len(PNG) // 2], "no picture that can be read"),
        (bomb(12_000, 10_000), rf"12000x10000 pixels; allowed are {MAX_PIXELS}"),
        (bomb(30_000, 30_000), "no picture that can be read|pixels; allowed"),
        (bomb(65_535, 65_535), "no picture that can be read|pixels; allowed"),
        (bomb(1, 1_000_000), "one side of at most 8 others"),
        (bomb(1000, 1000), "no picture that can be read"),
    ],
)
def test_what_is_no_whole_picture_is_refused_cheaply(content: bytes, said: str) -> None:
    tracemalloc.start()
    with pytest.raises(BadRequest, match=said):
        sample_of(content, (3, 48, 48), "inputs.0: picture 0")
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@given(st.sampled_from([JPEG, PNG]), st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_damage_is_refused_or_decoded_and_nothing_else(whole: bytes, seed: int, places: int) -> None:
    rng = random.Random(seed)
    damaged = bytearray(whole)
    for _ in range(places):
        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
    try:
        found = sample_of(bytes(damaged), (3, 16, 16), "here")
    except BadRequest as refused:
        assert "here" in str(refused)  # noqa: PT017 - either is right
    else:
        assert found.shape == (3, 16, 16)


def test_only_networks_for_pictures_take_them() -> None:
    assert takes_pictures((3, 224, 224))
    assert takes_pictures((1, 28, 28))
    assert not takes_pictures((4, 8, 8))
    assert not takes_pictures((40,))


@given(st.lists(st.binary(max_size=5), max_size=4), st.binary(max_size=3))
def test_elements_are_those_that_were_written(parts: list[bytes], more: bytes) -> None:
    content = memoryview(b"".join(len(each).to_bytes(4, "little") + each for each in parts) + more)
    if more:
        with pytest.raises(BadRequest, match="there are"):
            elements(content, len(parts), "inputs.0")
    else:
        assert [bytes(each) for each in elements(content, len(parts), "inputs.0")] == parts
    with pytest.raises(BadRequest, match="there are"):
        elements(content, len(parts) + 4, "inputs.0")
