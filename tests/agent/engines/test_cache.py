"""The cache of engines: what it keys, keeps within bounds, never evicts, and does without."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_disk import run_on_small_disk

from tidegate.engines.runtime import device
from tidegate.engines.runtime.cache import Cache, Limits

DAY_S = 24 * 3600.0


def fill(draft: Path) -> None:
    (draft / "graph").write_bytes(b"x" * 1000)


def model(cache: Cache, subject: str) -> Path:
    """Make an entry of 1000 bytes that nobody holds."""
    path = cache.entry("model", subject)
    assert path is not None
    lease = cache.make(path, fill)
    assert lease is not None
    lease.close()
    return path


def unused_for(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_the_key_is_of_kind_subject_processor_and_software(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entries() -> set[Path | None]:
        cache = Cache(tmp_path)
        return {cache.entry(kind, subject) for kind in ("choice", "model") for subject in ("a", "b")}

    here = entries()
    assert len(here) == 4
    assert entries() == here
    monkeypatch.setattr(device, "cpu_flags", lambda: frozenset({"sse2"}))
    elsewhere = entries()
    assert not here & elsewhere
    monkeypatch.setattr(device, "installed_version", lambda _: "99")
    assert not entries() & (here | elsewhere)


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new")
    assert cache.read("choice", "a") is None
    assert cache.write("choice", "a", b"old")
    assert cache.write("choice", "a", b"new")
    assert Cache(tmp_path / "new").read("choice", "a") == b"new"
    assert len([*(tmp_path / "new").iterdir()]) == 1


def test_a_directory_is_made_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    path = model(cache, "a")

    def again(draft: Path) -> None:
        (draft / "graph").write_text("the second")

    assert cache.make(path, again) is not None
    assert (path / "graph").stat().st_size == 1000
    assert [*tmp_path.iterdir()] == [path]


@settings(max_examples=30)
@given(st.permutations(range(4)), st.integers(0, 5))
def test_the_least_recently_used_go_first(order: list[int], kept: int) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        paths = [model(Cache(directory), str(index)) for index in range(4)]
        for place, index in enumerate(order):
            unused_for(paths[index], 100.0 * place)
        Cache(directory, Limits(size_bytes=1000 * kept)).evict()
        assert {*directory.iterdir()} == {paths[index] for index in order[:kept]}


def test_what_is_used_becomes_the_most_recent(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first, second = model(cache, "first"), model(cache, "second")
    assert cache.write("choice", "a", b"x" * 1000)
    written = cache.entry("choice", "a")
    assert written is not None
    for path, days in ((first, 3), (written, 2), (second, 1)):
        unused_for(path, days * DAY_S)
    lease = cache.hold(first)
    assert lease is not None
    lease.close()
    assert cache.read("choice", "a") is not None
    Cache(tmp_path, Limits(size_bytes=2000)).evict()
    assert {*tmp_path.iterdir()} == {first, written}


def test_what_was_not_used_for_long_goes_however_small(tmp_path: Path) -> None:
    old, new = model(Cache(tmp_path), "old"), model(Cache(tmp_path), "new")
    unused_for(old, 91 * DAY_S)
    unused_for(new, 89 * DAY_S)
    Cache(tmp_path).evict()
    assert [*tmp_path.iterdir()] == [new]


def test_a_time_that_is_yet_to_come_counts_as_now(tmp_path: Path) -> None:
    ahead = model(Cache(tmp_path), "a")
    unused_for(ahead, -1000 * DAY_S)
    Cache(tmp_path).evict()
    assert ahead.is_dir()
    Cache(tmp_path, Limits(size_bytes=999)).evict()
    assert not ahead.exists()


def test_making_evicts_and_never_what_was_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path, Limits(size_bytes=1500))
    unused_for(model(cache, "first"), 1)
    second = model(cache, "second")
    assert [*tmp_path.iterdir()] == [second]
    larger = Cache(tmp_path, Limits(size_bytes=1))
    path = larger.entry("model", "third")
    assert path is not None
    lease = larger.make(path, fill)
    assert lease is not None
    assert [*tmp_path.iterdir()] == [path]


HOLD = """
import sys
from pathlib import Path
from tidegate.engines.runtime.cache import Cache
lease = Cache(None).hold(Path(sys.argv[1]))
print(lease is not None, flush=True)
sys.stdin.read()
"""


def test_what_another_process_has_open_stays_until_it_ends(tmp_path: Path) -> None:
    opened, other = model(Cache(tmp_path), "opened"), model(Cache(tmp_path), "other")
    unused_for(opened, 100 * DAY_S)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, opened], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        # It was used just now; however long ago that becomes, it is open.
        unused_for(opened, 100 * DAY_S)
        Cache(tmp_path, Limits(size_bytes=0)).evict()
        assert [*tmp_path.iterdir()] == [opened]
        assert not other.exists()
        holder.kill()
    Cache(tmp_path, Limits(size_bytes=0)).evict()
    assert [*tmp_path.iterdir()] == []


def test_what_belongs_to_others_stays(tmp_path: Path) -> None:
    strangers = {"notes.txt", "ladder-bundle-0123456789abcdef0123456789abcdef", "model-of-a-car"}
    for name in strangers:
        (tmp_path / name).write_text("kept")
    model(Cache(tmp_path), "a")
    Cache(tmp_path, Limits(size_bytes=0)).evict()
    assert {path.name for path in tmp_path.iterdir()} == strangers


def test_drafts_of_processes_that_were_killed_go(tmp_path: Path) -> None:
    path = Cache(tmp_path).entry("model", "a")
    assert path is not None
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    drafts = [path.with_name(f"{path.name}.{pid}") for pid in (ended.pid, os.getpid())]
    for draft in drafts:
        draft.mkdir()
        fill(draft)
    Cache(tmp_path, Limits(size_bytes=999)).evict()
    assert [*tmp_path.iterdir()] == drafts[1:], "one that is being made stays"
    os.utime(drafts[1], (0, 0))
    Cache(tmp_path, Limits(size_bytes=999)).evict()
    assert [*tmp_path.iterdir()] == []


def a_file(path: Path) -> None:
    path.write_text("torn")


def a_directory(path: Path) -> None:
    path.mkdir()
    (path / "stray").write_text("")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("put", [a_directory, a_pipe, a_loop])
def test_what_stands_where_a_file_belongs_is_no_entry_and_makes_way(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    cache = Cache(tmp_path)
    path = cache.entry("choice", "a")
    assert path is not None
    put(path)
    assert cache.read("choice", "a") is None
    assert cache.write("choice", "a", b"made")
    assert cache.read("choice", "a") == b"made"


@pytest.mark.parametrize("put", [a_file, a_pipe, a_loop])
def test_what_stands_where_a_directory_belongs_is_no_entry_and_makes_way(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    cache = Cache(tmp_path)
    path = cache.entry("model", "a")
    assert path is not None
    put(path)
    assert cache.hold(path) is None
    assert (model(cache, "a") / "graph").is_file()


@pytest.mark.parametrize("directory", [None, Path("/proc/nowhere")])
def test_without_a_place_it_keeps_nothing_and_says_so(directory: Path | None) -> None:
    cache = Cache(directory)
    assert not cache.write("choice", "a", b"x")
    assert cache.read("choice", "a") is None
    path = cache.entry("model", "a")
    assert (path is None) == (directory is None)
    if path is not None:
        assert cache.make(path, fill) is None
    cache.evict()


TURNS = """
import sys
from pathlib import Path
from tidegate.engines.runtime.cache import Cache, Limits
cache = Cache(Path(sys.argv[1]), Limits(size_bytes=2500))
for turn in range(150):
    subject = str(turn % 4)
    path = cache.entry("model", subject)
    def fill(draft):
        (draft / "graph").write_text(subject * 1000)
    lease = cache.hold(path) or cache.make(path, fill)
    # Another may evict what was made before it is held; what is held is whole.
    if lease is not None:
        assert (path / "graph").read_text() == subject * 1000
        lease.close()
    assert cache.write("choice", subject, subject.encode())
    assert cache.read("choice", subject) in (None, subject.encode())
"""


def test_processes_that_make_and_evict_at_once_find_whole_entries_or_none(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", TURNS, tmp_path], stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    Cache(tmp_path, Limits(size_bytes=0)).evict()
    assert [*tmp_path.iterdir()] == []


FULL = """
from pathlib import Path
from tidegate.engines.runtime.cache import Cache
cache = Cache(Path.cwd() / "cache")
assert cache.write("choice", "before", b"kept")
ballast = open("ballast", "ab", buffering=0)
try:
    while True: ballast.write(b"x" * 4096)
except OSError: pass
assert not cache.write("choice", "before", b"x" * 100_000)
assert cache.read("choice", "before") == b"kept"
path = cache.entry("model", "a")
assert cache.make(path, lambda draft: (draft / "graph").write_bytes(b"x" * 100_000)) is None
assert [each.name for each in path.parent.iterdir()] == [cache.entry("choice", "before").name]
ballast.truncate(0)
assert cache.make(path, lambda draft: (draft / "graph").write_bytes(b"x" * 100_000)) is not None
"""


def test_on_a_full_disk_the_old_stays_and_no_draft_is_left(tmp_path: Path) -> None:
    run_on_small_disk(FULL, tmp_path, "400k")


def test_other_code_of_the_same_version_gets_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    before = device.fingerprint()
    monkeypatch.setattr(device, "_sources_digest", lambda: "other")
    assert device.fingerprint() != before
