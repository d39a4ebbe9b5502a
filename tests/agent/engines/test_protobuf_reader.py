"""Models are read as they were written, and damaged ones are refused in words."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engines.onnxruntime.protobuf import (
    OPSET,
    ElementType,
    FileSlice,
    OnnxGraph,
    OnnxNode,
    TensorValue,
    ValueInfo,
    model_bytes,
)
from tidegate.engines.onnxruntime.protobuf_reader import UnreadableModel, read_graph

NODES = (
    OnnxNode("ReorderInput", ("x",), ("blocks",), {"channels_last": 0}, "com.microsoft.nchwc"),
    OnnxNode("ReorderOutput", ("blocks",), ("plain",), {"channels": 640}, "com.microsoft.nchwc"),
    OnnxNode("Clip", ("plain", "", "most"), ("y",)),
)
CONSTANTS = (
    TensorValue("most", (), np.asarray(6, np.float32)),
    TensorValue("sizes", (3,), np.asarray([2**40, -1, 0], np.int64)),
    TensorValue("weight", (64, 3, 7, 7), FileSlice("graph.weights", 4096, 37632)),
)
MODEL = model_bytes(
    OnnxGraph(
        "g",
        NODES,
        [ValueInfo("x", ElementType.FLOAT, ("batch", 640))],
        [ValueInfo("y", ElementType.FLOAT, None)],
        CONSTANTS,
    )
)


def test_a_graph_is_read_as_it_was_written() -> None:
    read = read_graph(MODEL)
    assert read.nodes == NODES
    for found, expected in zip(read.constants, CONSTANTS, strict=True):
        assert (found.name, found.shape) == (expected.name, expected.shape)
        if isinstance(expected.content, FileSlice):
            assert found.content == expected.content
        else:
            assert found.content.dtype == expected.content.dtype
            assert found.content.tobytes() == expected.content.tobytes()


def test_an_attribute_that_is_no_whole_number_is_written_as_it_was_read() -> None:
    node = OnnxNode("Conv", ("x",), ("y",), {"alpha": 0.5, "auto_pad": "NOTSET", "pads": (1, 1), "group": -3})

    def model(each: OnnxNode) -> bytes:
        return model_bytes(OnnxGraph("g", [each], [], []))

    (read,) = read_graph(model(node)).nodes
    assert read.attributes["group"] == -3
    assert model(read) == model(node)


def test_a_graph_cut_short_is_refused() -> None:
    opset = bytes([8 << 3 | 2, 2, 2 << 3, OPSET])
    for length in range(MODEL.rindex(opset)):
        with pytest.raises(UnreadableModel):
            read_graph(MODEL[:length])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableModel):
        read_graph(content)


@given(st.integers(0, len(MODEL) - 1), st.integers(0, 255))
def test_a_wrong_byte_is_refused_or_read(place: int, byte: int) -> None:
    damaged = MODEL[:place] + bytes([byte]) + MODEL[place + 1 :]
    with suppress(UnreadableModel):
        read_graph(damaged)
