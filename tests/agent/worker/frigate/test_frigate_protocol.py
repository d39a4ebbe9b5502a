"""Frigate's requests are read or refused in words, whatever the frames hold."""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.worker.frigate.pictures import batch_of, check_fits
from tidegate.worker.frigate.protocol import (
    NOTHING_FOUND,
    ModelAsked,
    ModelSent,
    Picture,
    Refused,
    detections,
    read,
)

HEADER = {"shape": [1, 4, 6, 3], "dtype": "uint8", "model_type": "yologeneric"}


def frames(header: object, *more: bytes) -> list[bytes]:
    return [json.dumps(header).encode(), *more]


def test_what_frigate_sends_is_read() -> None:
    assert read(frames({"model_request": True, "model_name": "yolo.onnx"})) == ModelAsked("yolo.onnx")
    assert read(frames({"model_data": True, "model_name": "yolo.onnx"}, b"abc")) == ModelSent("yolo.onnx", b"abc")
    picture = read(frames(HEADER, bytes(range(72))))
    assert isinstance(picture, Picture)
    assert picture.values.shape == (1, 4, 6, 3)
    assert picture.model_type == "yologeneric"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ([], "0 frames"),
        ([b"x" * 5000], "JSON header"),
        ([b"{"], "header: Invalid JSON"),
        ([b"[]"], "header: must be an object"),
        (frames({"shape": ["a"]}, b""), "shape.0"),
        (frames(HEADER), "1 frames"),
        (frames(HEADER, bytes(72), b""), "3 frames"),
        (frames({**HEADER, "dtype": "float64"}, bytes(72)), "found 'float64', allowed are uint8, float32"),
        (frames({**HEADER, "shape": [2, 4, 6, 3]}, bytes(144)), "one picture"),
        (frames({**HEADER, "shape": [1, 4, 18]}, bytes(72)), "one picture"),
        (frames({**HEADER, "shape": [1, 4, 6, 1 << 62]}, bytes(72)), "the picture has 72"),
        (frames({**HEADER, "shape": [1, 0, 6, 3]}, b""), "one picture"),
        (frames(HEADER, bytes(71)), "takes 72 bytes, the picture has 71"),
        (frames({**HEADER, "model_name": "x" * 300}, bytes(72)), "model_name"),
        (
            frames({"model_request": True, "model_name": "a\nERROR forged"}),
            "model_name: allowed are print",
        ),
        (
            frames({**HEADER, "model_type": "a\x1b[2J"}, bytes(72)),
            "model_type: allowed are printable",
        ),
    ],
)
def test_what_is_no_request_is_refused_in_words(message: list[bytes], said: str) -> None:
    with pytest.raises(Refused, match=said):
        read(message)


@given(
    st.lists(
        st.binary(max_size=40)
        | st.dictionaries(
            st.sampled_from([*HEADER, "model_data"]),
            st.integers() | st.text(max_size=5) | st.booleans() | st.lists(st.integers(-2, 9), max_size=5),
        ).map(lambda each: json.dumps(each).encode()),
        max_size=3,
    )
)
def test_no_message_breaks_it(message: list[bytes]) -> None:
    with suppress(Refused):
        assert isinstance(read(message), ModelAsked | ModelSent | Picture)


def test_replies_are_what_the_plugin_decodes() -> None:
    rows = np.arange(120, dtype=np.float32).reshape(20, 6)
    header, content = detections(rows)
    assert json.loads(header) == {"shape": [20, 6], "dtype": "float32"}
    assert np.array_equal(np.frombuffer(content, np.float32).reshape(20, 6), rows)
    assert NOTHING_FOUND[1] == bytes(480)


def test_pictures_become_the_networks_input() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 4, 6, 3), np.uint8)
    expected = (pixels.transpose(0, 3, 1, 2) * np.float32(1 / 255)).astype(np.float32)
    batch = batch_of(Picture(pixels, ""), (3, 4, 6), 1 / 255)
    assert batch.flags.c_contiguous
    assert np.array_equal(batch, expected)
    first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    assert np.array_equal(batch_of(Picture(first, ""), (3, 4, 6), 1 / 255), expected)
    assert np.array_equal(batch_of(Picture(expected, ""), (3, 4, 6), 1 / 255), expected)
    last = np.ascontiguousarray(expected.transpose(0, 2, 3, 1))
    assert np.array_equal(batch_of(Picture(last, ""), (3, 4, 6), 1 / 255), expected)


def test_a_picture_of_another_size_is_refused_with_what_to_set() -> None:
    with pytest.raises(Refused, match=r"`model\.width: 6` and `model\.height: 4` in Frigate"):
        batch_of(Picture(np.zeros((1, 320, 320, 3), np.uint8), ""), (3, 4, 6), 1 / 255)
    with pytest.raises(Refused, match="which is no picture"):
        batch_of(Picture(np.zeros((1, 4, 6, 3), np.uint8), ""), (40,), 1 / 255)
    with pytest.raises(Refused, match="no finite numbers"):
        batch_of(Picture(np.full((1, 4, 6, 3), np.nan, np.float32), ""), (3, 4, 6), 1 / 255)


def test_a_picture_that_a_handed_over_model_does_not_take_is_refused_with_what_to_set() -> None:
    last, first = (Picture(np.zeros(shape, np.uint8), "") for shape in ((1, 4, 6, 3), (1, 3, 4, 6)))
    check_fits(last, (1, 4, 6, 3))
    check_fits(first, (None, 3, None, None))
    with pytest.raises(
        Refused, match=r"found \[1, 4, 6, 3\], .* takes \[1, 3, 4, 6\]; set `model.input_tensor: nchw`"
    ):
        check_fits(last, (1, 3, 4, 6))
    with pytest.raises(Refused, match=r"takes \['any', 4, 6, 3\]; set `model.input_tensor: nhwc`"):
        check_fits(first, (None, 4, 6, 3))
    with pytest.raises(Refused, match=r"takes \[1, 3, 8, 8\]; set `model.width`"):
        check_fits(first, (1, 3, 8, 8))
    with pytest.raises(Refused, match=r"takes \[1, 10\]"):
        check_fits(first, (1, 10))
