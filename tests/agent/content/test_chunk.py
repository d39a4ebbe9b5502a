"""Chunks: packed and unpacked they are the same bytes, and hostile ones are refused within their bounds."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.content.chunk import CHUNK_BYTES, MAX_PACKED_BYTES, Chunk, ContentError, pack, unpack


@given(st.binary(min_size=1, max_size=2000) | st.binary(min_size=1, max_size=40).map(lambda some: some * 900))
def test_what_is_packed_comes_out(content: bytes) -> None:
    packed = pack(content)
    assert unpack(packed) == content
    assert len(packed) <= len(content) + 1
    assert Chunk.of(content).names(unpack(packed))


@given(st.binary(max_size=300))
def test_any_bytes_are_content_or_refused(junk: bytes) -> None:
    for packed in (junk, b"\1" + junk, b"\0" + junk):
        try:
            content = unpack(packed)
        except ContentError:
            continue
        assert 1 <= len(content) <= CHUNK_BYTES


def test_a_bomb_is_not_inflated() -> None:
    bomb = b"\1" + zlib.compress(b"\0" * (1 << 24))
    with pytest.raises(ContentError, match="holds more than"):
        unpack(bomb)
    with pytest.raises(ContentError):
        unpack(b"\1" + zlib.compress(b"x") + b"tail")
    with pytest.raises(ContentError):
        unpack(b"\0" + b"x" * (CHUNK_BYTES + 1))


def test_the_largest_chunk_fits_into_a_message() -> None:
    assert len(pack(bytes(range(256)) * (CHUNK_BYTES // 256))) <= MAX_PACKED_BYTES <= 96 << 10


@pytest.mark.parametrize(
    ("sha256", "size"), [("a" * 63, 1), ("A" * 64, 1), ("a" * 64, 0), ("a" * 64, CHUNK_BYTES + 1)]
)
def test_no_chunk(sha256: str, size: int) -> None:
    with pytest.raises(ContentError, match="allowed"):
        Chunk(sha256, size)


def test_a_chunk_names_its_bytes_alone() -> None:
    chunk = Chunk.of(b"one")
    assert chunk.names(b"one")
    assert not chunk.names(b"two")
    assert not chunk.names(b"one ")
