"""Files that are replaced whole: the old content or the new, and nothing beside it."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidegate.files import cache_file, place_directory, read_file, replace_file

LARGE = "x" * 100_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new" / "number"


def test_a_file_is_replaced_and_its_directory_made(file: Path) -> None:
    for synced in (True, False):
        replace_file(file, f"kept {synced}", synced=synced)
        assert read_file(file) == f"kept {synced}".encode()
    cache_file(file, b"cached")
    assert [each.name for each in file.parent.iterdir()] == ["number"]
    assert file.read_bytes() == b"cached"


@pytest.fixture
def no_room() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def synced(path: Path) -> None:
    replace_file(path, LARGE)


def cached(path: Path) -> None:
    cache_file(path, LARGE.encode())


@pytest.mark.parametrize("write", [synced, cached])
@pytest.mark.usefixtures("no_room")
def test_what_does_not_fit_leaves_the_old_file_and_no_draft(file: Path, write: Callable[[Path], None]) -> None:
    cache_file(file, b"old")
    with pytest.raises(OSError, match="too large"):
        write(file)
    assert file.read_bytes() == b"old"
    assert [each.name for each in file.parent.iterdir()] == ["number"]


def test_what_stands_in_the_way_is_moved_aside(file: Path) -> None:
    file.mkdir(parents=True)
    replace_file(file, "1")
    assert file.read_text() == "1"
    assert (file.parent / "number.in-the-way-1").is_dir()


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    seen = []

    def fill(draft: Path) -> None:
        seen.append((tmp_path / "model").exists())
        (draft / "graph").write_text("whole")

    place_directory(tmp_path / "model", fill)
    assert seen == [False]
    assert (tmp_path / "model" / "graph").read_text() == "whole"


def test_a_directory_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(draft: Path) -> None:
        (draft / "graph").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        place_directory(tmp_path / "model", fill)
    assert list(tmp_path.iterdir()) == []


def test_whoever_is_second_leaves_the_first_directory(tmp_path: Path) -> None:
    place_directory(tmp_path / "model", lambda draft: (draft / "graph").write_text("first"))
    with pytest.raises(OSError, match="not empty"):
        place_directory(tmp_path / "model", lambda draft: (draft / "graph").write_text("second"))
    assert (tmp_path / "model" / "graph").read_text() == "first"
    assert [each.name for each in tmp_path.iterdir()] == ["model"]
