"""The state directory at start: from older, from newer, damaged, and stopped at any moment."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.supervisor.control.last_run import LastRun, read_last_run
from tidegate.supervisor.state_schema import bring, change, stated
from tidegate.supervisor.state_schema.bring import Brought, UnstatedSchema, bring_to_schema, take_back
from tidegate.supervisor.state_schema.migrations import SCHEMA

OLD = {"operating_point": b"cheapest\n"}


def lay(state_dir: Path, files: dict[str, bytes]) -> None:
    state_dir.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (state_dir / name).write_bytes(content)


def schema_of(state_dir: Path) -> int:
    return int(json.loads((state_dir / "schema").read_text())["schema"])


def test_a_new_directory_states_its_schema(tmp_path: Path) -> None:
    assert bring_to_schema(tmp_path) == Brought()
    assert schema_of(tmp_path) == SCHEMA
    assert {path.name for path in tmp_path.iterdir()} == {"schema"}


def test_state_of_schema_1_is_brought_along_and_kept(tmp_path: Path) -> None:
    lay(tmp_path, OLD)
    assert bring_to_schema(tmp_path) == Brought()
    assert read_last_run(tmp_path) == (LastRun("cheapest"), "")
    assert (tmp_path / "schema-1/operating_point").read_bytes() == OLD["operating_point"]
    assert not (tmp_path / "operating_point").exists()


def test_it_is_taken_back_for_an_older_version(tmp_path: Path) -> None:
    lay(tmp_path, {"last_run.json": b'{"point": "full", "boot_id": "a", "ended": true}', "drift.json": b"{}"})
    (tmp_path / "schema").write_bytes(stated.as_bytes(stated.OURS))
    asked = [sys.executable, "-m", "tidegate.supervisor.state_schema", str(tmp_path), "1"]
    subprocess.run(asked, check=True, timeout=60)
    assert schema_of(tmp_path) == 1
    assert (tmp_path / "operating_point").read_text().strip() == "full"
    assert not (tmp_path / "last_run.json").exists()
    assert (tmp_path / "drift.json").read_bytes() == b"{}"


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """State that a version with schema SCHEMA + 1 left, where that version's Python is the given script."""
    versions = tmp_path / "versions"
    monkeypatch.setattr(sys, "prefix", str(versions / "1-ours"))
    state_dir = tmp_path / "state"
    lay(state_dir, {"last_run.json": b'["of schema 3"]'})
    lay(state_dir / f"schema-{SCHEMA}", {"last_run.json": b'{"point": "cheapest"}'})
    (state_dir / "schema").write_text(json.dumps({"schema": SCHEMA + 1, "written_by": "2-theirs"}))

    def installed(script: str) -> Path:
        python = versions / "2-theirs/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        return state_dir

    return installed


def test_the_newer_version_brings_its_state_back(newer: Callable[[str], Path]) -> None:
    # What it is asked stands in its arguments: -I -m MODULE STATE_DIR SCHEMA.
    state_dir = newer(
        'echo \'{"point": "exact"}\' > "$4/last_run.json"; '
        'echo "{\\"schema\\": $5, \\"written_by\\": null}" > "$4/schema"'
    )
    assert bring_to_schema(state_dir) == Brought()
    assert read_last_run(state_dir) == (LastRun("exact"), "")


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo broken on purpose >&2; exit 3", "2-theirs: broken on purpose"), ("exit 0", "can't be brought back")],
)
def test_else_what_was_kept_before_is_used_again(newer: Callable[[str], Path], script: str, why: str) -> None:
    state_dir = newer(script)
    (fault,) = bring_to_schema(state_dir).faults
    assert "written by a newer version of tidegate, schema 3 where 2 is known" in fault
    assert why in fault
    assert read_last_run(state_dir) == (LastRun("cheapest"), "")
    assert (state_dir / "schema-3/last_run.json").read_bytes() == b'["of schema 3"]'
    assert bring_to_schema(state_dir) == Brought()


def test_the_newer_version_stopped_on_its_way_is_brought_to_its_end(newer: Callable[[str], Path]) -> None:
    written = {"last_run.json": '{"point": "exact"}', "schema": f'{{"schema": {SCHEMA}, "written_by": null}}'}
    redo = json.dumps({"write": written, "remove": []})
    state_dir = newer(f"echo '{redo}' > \"$4/migration.json\"; kill -9 $$")
    assert bring_to_schema(state_dir) == Brought()
    assert read_last_run(state_dir) == (LastRun("exact"), "")


@pytest.mark.parametrize(
    ("written_by", "why"),
    [
        (None, "does not say which version"),
        ("../../elsewhere", "does not say which version"),
        ("3-gone", "3-gone is not installed any more"),
    ],
)
def test_only_a_version_beside_ours_is_asked(
    newer: Callable[[str], Path], written_by: str | None, why: str
) -> None:
    state_dir = newer("exit 0")
    (state_dir / "schema").write_text(json.dumps({"schema": 9, "written_by": written_by}))
    (fault,) = bring_to_schema(state_dir).faults
    assert why in fault


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b'{"schema": "2"}', b'{"schema": 0, "written_by": null}']
)
def test_a_damaged_schema_is_put_aside_and_said(tmp_path: Path, content: bytes) -> None:
    lay(tmp_path, {"schema": content, "last_run.json": b'{"point": "full"}'})
    (fault,) = bring_to_schema(tmp_path).faults
    assert "kept as schema.damaged-1" in fault
    assert (tmp_path / "schema.damaged-1").read_bytes() == content
    assert read_last_run(tmp_path) == (LastRun("full"), "")
    assert bring_to_schema(tmp_path) == Brought()


def test_stopped_before_any_step_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, unlink = change.replace_file, Path.unlink
    left = 0

    def counted() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    def counting_replace(path: Path, content: str | bytes) -> None:
        counted()
        replace(path, content)

    def counting_unlink(path: Path, missing_ok: bool = False) -> None:
        counted()
        unlink(path, missing_ok)

    stops = 0
    for step in range(20):
        state_dir = tmp_path / str(step)
        lay(state_dir, OLD)
        left = step
        with monkeypatch.context() as patched:
            patched.setattr(change, "replace_file", counting_replace)
            patched.setattr(Path, "unlink", counting_unlink)
            try:
                bring_to_schema(state_dir)
            except KeyboardInterrupt:
                stops += 1
        assert bring_to_schema(state_dir) == Brought()
        assert read_last_run(state_dir) == (LastRun("cheapest"), "")
        take_back(state_dir, 1)
        assert (state_dir / "operating_point").read_bytes().strip() == b"cheapest"
    assert 4 <= stops < 20


def test_a_disk_that_refuses_is_said_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, OLD)

    def full(path: Path, content: str | bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(change, "replace_file", full)
        brought = bring_to_schema(tmp_path)
    assert "No space left on device" in brought.unstated
    # What has to be migrated waits for the next start: the agent that runs uses the files by now.
    assert UnstatedSchema(tmp_path, brought.unstated).trouble() == brought.unstated
    assert (tmp_path / "operating_point").exists()
    assert bring_to_schema(tmp_path) == Brought()
    assert read_last_run(tmp_path)[0] == LastRun("cheapest")


def test_a_first_start_on_a_full_disk_states_its_schema_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: str | bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(change, "replace_file", full)
        patched.setattr(bring, "replace_file", full)
        unstated = UnstatedSchema(tmp_path, bring_to_schema(tmp_path).unstated)
        assert "No space left on device" in (unstated.trouble() or "")
    lay(tmp_path, {"last_run.json": b'{"point": "full"}'})
    assert unstated.trouble() is None
    assert stated.read_stated(tmp_path) == stated.OURS
    assert read_last_run(tmp_path) == (LastRun("full"), "")
    assert UnstatedSchema(tmp_path, "").trouble() is None


def test_without_a_directory_there_is_nothing_to_bring(tmp_path: Path) -> None:
    assert bring_to_schema(tmp_path / "missing") == Brought()
    assert not (tmp_path / "missing").exists()


NEVER_DONE: dict[str, object] = {
    "out": {"write": {"../out": "x"}},
    "elsewhere": {"write": {"/tmp/tidegate-out": "x"}},
    "a name with NUL": {"write": {"a\0b": "x"}},
    "NUL to remove": {"remove": ["a\0b"]},
    "half a character": {"write": {"\ud800": "x"}},
    "half a character within": {"write": {"last_run.json": "\ud800"}},
    "too long a name": {"write": {"a" * 300: "x"}},
    "below a file": {"write": {"operating_point/x": "x"}},
    "of another type": {"write": {"last_run.json": 5}},
    "no object": [],
}


@pytest.mark.parametrize("what", NEVER_DONE)
def test_a_redo_of_another_hand_is_not_done_and_holds_nothing_up(tmp_path: Path, what: str) -> None:
    redo = NEVER_DONE[what]
    if isinstance(redo, dict):
        redo = {"write": {}, "remove": [], **redo}
    state_dir = tmp_path / "state"
    lay(state_dir, OLD | {"migration.json": json.dumps(redo).encode()})
    assert bring_to_schema(state_dir) == Brought()
    assert {path.name for path in tmp_path.iterdir()} == {"state"}
    assert {path.name for path in state_dir.iterdir()} == {"last_run.json", "schema", "schema-1"}
    assert read_last_run(state_dir) == (LastRun("cheapest"), "")


def in_the_way(state_dir: Path) -> dict[str, Callable[[], object]]:
    return {
        "a file for the copies' folder": lambda: (state_dir / "schema-1").write_text("x"),
        "a link for the copies' folder": lambda: (state_dir / "schema-1").symlink_to("nowhere"),
        "a pipe for the copies' folder": lambda: os.mkfifo(state_dir / "schema-1"),
        "a folder for a file": (state_dir / "last_run.json").mkdir,
        "a folder for the redo": (state_dir / "migration.json").mkdir,
        "a huge redo": lambda: os.truncate(_made(state_dir / "migration.json"), 1 << 30),
        "a redo that is endless": lambda: (state_dir / "migration.json").symlink_to("/dev/zero"),
    }


def _made(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("what", in_the_way(Path()))
def test_nothing_in_the_way_holds_it_up(tmp_path: Path, what: str) -> None:
    lay(tmp_path, OLD)
    in_the_way(tmp_path)[what]()
    assert bring_to_schema(tmp_path) == Brought()
    assert read_last_run(tmp_path) == (LastRun("cheapest"), "")
    assert (tmp_path / "schema-1/operating_point").read_bytes() == OLD["operating_point"]
    assert bring_to_schema(tmp_path) == Brought()


def test_a_huge_file_is_left_to_its_reader(tmp_path: Path) -> None:
    lay(tmp_path, {"operating_point": b"x" * (15 << 20)})
    assert bring_to_schema(tmp_path) == Brought()
    assert schema_of(tmp_path) == SCHEMA
