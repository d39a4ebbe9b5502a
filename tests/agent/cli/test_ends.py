"""How a command ends that can't go on: nobody reads it, Ctrl-C, a fault of ours, a directory that is there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from here import tidegate_here

from tidegate.cli import entry, main
from tidegate.cli.command_tree import commands

TREE: Any = typer.main.get_command(main.application())


@pytest.mark.parametrize("words", [command.words for command in commands(TREE)])
def test_a_wrong_option_is_named(words: str) -> None:
    ended = tidegate_here(*words.split(), "--nonsense")
    assert (ended.returncode, ended.stdout) == (64, "")
    assert "No such option: --nonsense" in ended.stderr


def test_a_closed_pipe_ends_it_in_silence() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "tidegate.cli.entry", "config", "schema"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_ctrl_c_while_it_loads_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "main", interrupted)
    monkeypatch.setattr("sys.argv", ["tidegate", "status"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_a_fault_of_ours_says_what_to_do_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(_: str) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(main, "application", faulty)
    ended = tidegate_here("status")
    assert ended.returncode == 70
    assert "nobody thought of this" in ended.stderr
    assert "please report it" in ended.stderr.splitlines()[-1]


def test_a_bundle_is_not_trained_for_a_directory_that_is_there(tmp_path: Path) -> None:
    ended = tidegate_here("bundle", "build-demo", "--out", tmp_path)
    assert ended.returncode == 65
    assert ended.stderr == f"{tmp_path}: already exists; name another directory with --out, or remove it\n"
