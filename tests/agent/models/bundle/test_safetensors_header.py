"""The header reader agrees with the safetensors library, and is as strict."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tidegate.models.bundle.safetensors_header import tensors_in
from tidegate.models.errors import BundleError

Entry = dict[str, object]

PAIR: dict[str, Entry] = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "U8", "shape": [3, 1], "data_offsets": [8, 11]},
}


def written(path: Path, header: object, data: int) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    return path


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=5))
def test_places_are_where_the_library_put_the_tensors(
    tmp_path_factory: pytest.TempPathFactory, shapes: dict[str, tuple[int, int]]
) -> None:
    arrays = {name: np.arange(a * b, dtype=np.float32).reshape(a, b) for name, (a, b) in shapes.items()}
    arrays.pop("__metadata__", None)
    path = tmp_path_factory.mktemp("file") / "x.safetensors"
    path.write_bytes(save(arrays))
    data = path.read_bytes()
    found = tensors_in(path)
    assert found.keys() == arrays.keys()
    for name, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == ("F32", arrays[name].shape)
        assert data[tensor.place.start : tensor.place.stop] == arrays[name].tobytes()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({**PAIR, "b": {**PAIR["b"], "data_offsets": [7, 10]}}, 11),
        ({**PAIR, "b": {**PAIR["b"], "data_offsets": [9, 12]}}, 12),
        ({**PAIR, "b": {**PAIR["b"], "data_offsets": [8, 8]}}, 8),
        ({**PAIR, "b": {**PAIR["b"], "data_offsets": [11, 8]}}, 11),
        ({**PAIR, "b": {**PAIR["b"], "shape": [-3, -1]}}, 11),
        ({**PAIR, "b": {**PAIR["b"], "dtype": "F33"}}, 11),
        ({**PAIR, "b": {"dtype": "U8", "shape": [3]}}, 11),
        (PAIR, 10),
        (PAIR, 12),
        ([1, 2], 0),
        (b"{", 0),
        (b'{"a": {"dtype": "U8", "shape": [1]' + b"[" * 5000, 0),
        (b"", 0),
    ],
    ids=[
        "overlap", "gap", "too few bytes", "backwards", "negative sizes", "unknown dtype", "no offsets",
        "file cut", "file too long", "list", "half", "deep", "empty",
    ],
)  # fmt: skip
def test_what_the_library_refuses_is_refused(tmp_path: Path, header: object, data: int) -> None:
    path = written(tmp_path / "x.safetensors", header, data)
    with pytest.raises(SafetensorError), safe_open(path, framework="numpy"):
        pass
    with pytest.raises(BundleError, match=r"x\.safetensors: is not a safetensors file"):
        tensors_in(path)


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    entry = json.dumps(PAIR["a"])
    path = written(tmp_path / "x.safetensors", f'{{"a": {entry}, "a": {entry}}}'.encode(), 8)
    with pytest.raises(BundleError, match="comes twice"):
        tensors_in(path)
