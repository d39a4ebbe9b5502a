"""A newcomer's quarter of an hour: the commands of docs/getting-started.md, one after the other, in a fresh clone.

The clone has what is committed. Only pip is spared: `.venv` is made before, with the libraries of the environment
that the tests run in. `make newcomer` runs it.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_screen import ENDING, ending, is_frame, missing
from documented_commands import ROOT, Commands, commands_of
from terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.timeout(1500)]

BLOCKS = commands_of(ROOT / "docs" / "getting-started.md")
SHOWN = {
    "git clone": (),
    "install.sh build": (r"ready: \. '.*/\.venv/bin/activate'", r"epoch 8 of 8: 9\d\.\d% right"),
    "bundle build": (
        r"circle\n.*square\n.*triangle",
        r"operating point +certified risk +accuracy",
        r"full +≤ 0\.0% +(9\d\.\d|100\.0)%",
        r"(int8|mixed)\S* +≤ 1\.[05]% +(9\d\.\d|100\.0)%",
    ),
    "bundle verify": (r"ok: .*canar",),
    "cat > agent.yaml": (r"policy\.yaml.*valid|valid.*policy\.yaml|at-home", r"agent\.yaml"),
    "ask_shapes": (
        r'"name":\s*"shapes"',
        r"pictures/circle/000\.png: circle\npictures/triangle/000\.png: triangle\n",
        r"'operating_point': 'full'",
    ),
    "request.json": (r'"model_name":\s*"shapes"', r'"operating_point":\s*"full"', r'"certified_risk":'),
    "key new": (r"ops\.pub",),
    "policy push": (r"saving version 2 accepted", r"policy +saving"),
}
"""By words of a block, what it has to print."""

NOT_A_NEWCOMERS = ("PYTHON", "TIDEGATE", "COLUMNS", "LINES")
"""Variables; workers of pytest-xdist have the last two, which would break a table to a pipe at 80 columns."""


class Session:
    """A newcomer at the keyboard: blocks are typed one after the other, each where the one before has ended."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._where = home / "where"
        self._where.write_text(str(home))
        self._kept = home / "environment"
        self._kept.write_text("")
        self._background: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_A_NEWCOMERS)},
            "HOME": str(home),
            "GIT_URL": str(ROOT),
            "PIP_NO_INDEX": "1",
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
        }

    def _script(self, block: Commands) -> list[str]:
        """bash, where the last block ended and with its environment."""
        before = f'. "{self._kept}"; cd "$(cat "{self._where}")"; set -e\n'
        after = f'\nset +e; pwd > "{self._where}"; export -p > "{self._kept}"'
        return ["bash", "-c", before + block.text + after]

    def type(self, block: Commands) -> str:
        """Everything that a block printed; it has to end well."""
        done = subprocess.run(
            self._script(block), capture_output=True, text=True, check=False, timeout=900, env=self.environment
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{block.place} ended with {done.returncode}:\n{said}\n{self.logs()}"
        return said

    def start(self, block: Commands) -> None:
        """A block that keeps its terminal."""
        with (self._home / f"background-{len(self._background)}.log").open("wb") as log:
            self._background.append(
                subprocess.Popen(
                    self._script(block), stdout=log, stderr=log, env=self.environment, start_new_session=True
                )
            )
        time.sleep(1)

    def watch(self, block: Commands, columns: int, lines: int) -> tuple[list[str], Terminal]:
        """The frames that a block shows in a terminal of this size, and the terminal."""
        frames: list[str] = []
        with Terminal(self._script(block), columns, lines, **self.environment) as terminal:
            running = terminal.follow(180, lambda text: frames.append(text) if is_frame(text) else None)
            assert not running
            assert terminal.process.wait(20) == 0, terminal.text()
        return frames, terminal

    def wait_for_answers(self, seconds: float) -> None:
        """Until the agent that was started answers."""
        question = "curl --silent --fail --unix-socket tidegate.sock http://localhost/v2/health/ready"
        block = Commands(ROOT / "docs" / "getting-started.md", 0, question, "")
        until = time.monotonic() + seconds
        while subprocess.run(self._script(block), capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < until, self.logs()
            time.sleep(0.5)

    def logs(self) -> str:
        """What the commands in the background said."""
        return "\n".join(log.read_text() for log in sorted(self._home.glob("background-*.log")))

    def end(self) -> None:
        """Ctrl-C in each terminal, the last one first."""
        for process in reversed(self._background):
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


@pytest.fixture
def session(tmp_path: Path, mosquitto: None) -> Iterator[Session]:
    """Ends what was started."""
    newcomer = Session(tmp_path)
    yield newcomer
    newcomer.end()


def put_libraries_into(clone: Path) -> None:
    """What `./install.sh` would install, without downloading it: .venv with our libraries and the clone's code."""
    venv = clone / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "libraries.pth").write_text("\n".join([str(clone / "agent"), str(clone / "drivers"), *ours]))
    command = venv / "bin" / "tidegate"
    command.write_text(f"#!{venv}/bin/python\nfrom tidegate.cli.entry import main\nmain()\n")
    pip = venv / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {venv}/bin/python -m pip "$@"\n')
    for program in (command, pip):
        program.chmod(0o755)
    sums = subprocess.run(
        ["cksum"], stdin=(clone / "pyproject.toml").open(), capture_output=True, text=True, check=True
    ).stdout.strip()
    (venv / ".tidegate-installed").write_text(f"{sums} {clone}\nonnx,broker,torch,data,plot\n")


def expected_of(block: Commands) -> tuple[str, ...]:
    found = [patterns for words, patterns in SHOWN.items() if words in block.text]
    assert len(found) == 1, f"{block.place}: what it prints is expected nowhere, or twice"
    return found[0]


def test_a_newcomer_gets_from_a_clone_to_a_pushed_policy(session: Session, tmp_path: Path) -> None:
    for block in BLOCKS:
        if (size := block.marked("terminal")) is not None:
            columns, lines = map(int, size.split("x"))
            frames, terminal = session.watch(block, columns, lines)
            *whole, _last = frames
            assert len(whole) > 15
            assert [(missing(text), text) for text in whole if missing(text)] == []
            assert re.search(ENDING, ending(terminal)), ending(terminal)
        elif block.marked("background") is not None:
            session.start(block)
            if "tidegate run" in block.text:
                session.wait_for_answers(60)
        else:
            said = session.type(block)
            unseen = [pattern for pattern in expected_of(block) if not re.search(pattern, said, re.DOTALL)]
            assert unseen == [], said
            if "git clone" in block.text:
                put_libraries_into(tmp_path / "tidegate")
