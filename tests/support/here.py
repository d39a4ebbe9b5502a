"""The command line in this process: what a user types, without an interpreter's start for every line of it."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from unittest.mock import patch

import pytest

from tidegate.cli.main import main


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command leaves behind, by the names that subprocess uses."""

    returncode: int
    stdout: str
    stderr: str


def together(barrier: Barrier, directory: Path, *arguments: str) -> None:
    """As a process of its own: a command in a directory, begun when the others are about to; its exit code."""
    os.chdir(directory)
    barrier.wait(60)
    sys.exit(tidegate_here(*arguments).returncode)


def tidegate_here(*arguments: str | Path) -> Ended:
    """Run a command to its end. Not for `run`, which puts another program in this process's place."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["tidegate", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    code = ended.value.code or 0
    assert isinstance(code, int), code
    return Ended(code, out.getvalue(), err.getvalue())
