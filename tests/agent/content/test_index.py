"""The index of files' chunks: written and read again, and refused where it does not account for each byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.content.chunk import Chunk, ContentError
from tidegate.content.index import Index, parse_index

contents = st.lists(st.binary(min_size=1, max_size=40), max_size=5)
files = st.dictionaries(st.sampled_from(["a", "b.json", "c"]), contents, min_size=1)


def index_of_contents(found: dict[str, list[bytes]]) -> Index:
    return Index({name: tuple(map(Chunk.of, pieces)) for name, pieces in found.items()})


def sizes_of(found: dict[str, list[bytes]]) -> dict[str, int]:
    return {name: sum(map(len, pieces)) for name, pieces in found.items()}


@given(files)
def test_an_index_is_read_as_it_was_written(found: dict[str, list[bytes]]) -> None:
    index = index_of_contents(found)
    assert parse_index(index.to_bytes(), sizes_of(found)) == index
    for place in index.places():
        whole = b"".join(found[place.file])
        assert place.chunk.names(whole[place.offset : place.offset + place.chunk.size])


@given(files, st.sampled_from(["a", "b.json", "c"]), st.integers(-30, 30).filter(bool))
def test_sizes_that_it_was_not_made_for_are_refused(found: dict[str, list[bytes]], name: str, by: int) -> None:
    sizes = sizes_of(found)
    sizes[name] = max(0, sizes.get(name, 0) + by)
    if sum(sizes.values()) == sum(sizes_of(found).values()):
        return
    with pytest.raises(ContentError):
        parse_index(index_of_contents(found).to_bytes(), sizes)


@given(st.binary(max_size=200), st.dictionaries(st.sampled_from("ab"), st.integers(0, 200)))
def test_any_bytes_are_an_index_or_refused(junk: bytes, sizes: dict[str, int]) -> None:
    try:
        index = parse_index(junk, sizes)
    except ContentError:
        return
    assert {name: sum(chunk.size for chunk in chunks) for name, chunks in index.files.items()} == sizes
