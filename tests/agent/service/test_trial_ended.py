"""The unit's own way back, run by a real shell with programs that stand for systemd's."""

import os
import subprocess
from pathlib import Path

import pytest

from tidegate.last_trial import read_last_trial
from tidegate.service import templates


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Two versions, the second on trial."""
    prefix, programs = tmp_path / "tidegate", tmp_path / "bin"
    for name in ("1", "2"):
        (prefix / "versions" / name / "bin").mkdir(parents=True)
        (prefix / "versions" / name / "bin/tidegate").touch()
    (prefix / "current").symlink_to("versions/2")
    (prefix / "trial").write_text("versions/1\n")
    (prefix / "trial-ended").write_text(templates.trial_ended())
    programs.mkdir()
    for name, text in (
        ("journalctl", "echo first line; echo broken on purpose"),
        ("systemctl", f'echo "$*" > {tmp_path}/asked'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    return prefix


def ended(prefix: Path, result: str) -> None:
    environment = {
        "PATH": f"{prefix.parent / 'bin'}:{os.environ['PATH']}",
        "SERVICE_RESULT": result,
        "EXIT_CODE": "exited",
        "EXIT_STATUS": "3",
    }
    command = ["sh", "-c", 'umask 077; exec sh "$0" tidegate.service', str(prefix / "trial-ended")]
    subprocess.run(command, env=environment, check=True, timeout=20, capture_output=True)


def test_a_failure_takes_the_link_back_and_leaves_last_words_that_others_can_read(prefix: Path) -> None:
    ended(prefix, "exit-code")
    assert (prefix / "current").readlink() == Path("versions/1")
    assert not (prefix / "trial").exists()
    assert (prefix.parent / "asked").read_text() == "--no-block restart tidegate.service\n"
    trial = read_last_trial(prefix)
    assert trial is not None
    assert (trial.version, trial.accepted) == ("versions/2", False)
    assert trial.reason == "it ended in failure (exit-code exited 3)"
    assert trial.last_words == ("first line", "broken on purpose")
    assert (prefix / "last-words").stat().st_mode & 0o777 == 0o644


def test_an_end_that_was_wanted_changes_nothing(prefix: Path) -> None:
    ended(prefix, "success")
    assert (prefix / "current").readlink() == Path("versions/2")
    assert read_last_trial(prefix) is None
