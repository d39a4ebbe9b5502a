"""`tidegate bench starts`: an agent is started again and again, and asked from the first moment on.

Cold: nothing is there of an earlier start, neither state nor caches. Warm: in the places of a cold one. Both are
by the clock of the wall, so what else the machine does is in them; processor time is beside.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import psutil
import yaml

from tidegate import child
from tidegate.demo.client import UnixConnection
from tidegate.paths import profiles_directory
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress

COLD, QUICK_COLD = 50, 5
WARM, QUICK_WARM = 10, 3
WITHIN_S = 60.0
"""After which a start without an answer is a miss."""
PAUSE_S = 0.02
END_S = 30.0
COLD_S, WARM_S = 2.5, 1.2
LAST_LINES = 12
SOCKET = "t.sock"


@dataclass(frozen=True, slots=True)
class Start:
    """`first_answer_s` after the command, None for a miss; `cpu_s` is of agent and worker until then.

    `log` is the end of what a miss said.
    """

    first_answer_s: float | None
    cpu_s: float | None
    log: str = ""


def run(*, quick: bool, progress: Progress) -> Figures:
    """Cold starts, each in a place of its own, then warm ones in the last place."""
    cold: list[Start] = []
    warm: list[Start] = []
    colds, warms = (QUICK_COLD, QUICK_WARM) if quick else (COLD, WARM)
    for number in range(colds):
        with TemporaryDirectory(prefix="tg-") as made:
            progress(f"cold start {number + 1} of {colds}, {_missed(cold)} missed")
            config = configure(Path(made))
            cold.append(start(config))
            if number == colds - 1:
                for again in range(warms):
                    progress(f"warm start {again + 1} of {warms}, {_missed(warm)} missed")
                    warm.append(start(config))
    rows = [_row("cold", cold), _row("warm", warm)]
    misses = [{"start": "missed", "log": each.log} for each in (*cold, *warm) if each.first_answer_s is None]
    goals = [
        Goal(f"starts of {colds + warms} without an answer in {WITHIN_S:g} s", 0, _missed([*cold, *warm]), False),
        Goal("first answer of a cold start, s (median)", COLD_S, _median(cold), at_least=False),
        Goal("first answer of a warm start, s (median)", WARM_S, _median(warm), at_least=False),
    ]
    return Figures("starts", [*rows, *misses], goals)


def configure(directory: Path) -> Path:
    """An agent.yaml of the shipped bundle with `auto`; gives its path."""
    profiles = profiles_directory()
    document = {
        "device": "starts",
        "bundle": str(profiles / "bundles/digits"),
        "policy": str(profiles / "policies/always-plugged.yaml"),
        "state_dir": "state",
        "listen": {"unix": SOCKET},
    }
    config = directory / "agent.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


def start(config: Path, within_s: float = WITHIN_S) -> Start:
    """Start it, wait for its first answer, end it."""
    directory = config.parent
    log = directory / "agent.log"
    with log.open("wb") as written:
        began_s = time.monotonic()
        agent = subprocess.Popen(
            child.command("tidegate.cli.entry", "run", "--config", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=child.environment(CACHE_DIRECTORY=str(directory / "cache")),
        )
        try:
            while agent.poll() is None and time.monotonic() - began_s < within_s:
                if _is_answered(directory / SOCKET, within_s):
                    return Start(time.monotonic() - began_s, _cpu_s(agent.pid))
                time.sleep(PAUSE_S)
            ended = "" if agent.returncode is None else f"it ended with {agent.returncode}; "
            lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            return Start(None, None, ended + " | ".join(lines))
        finally:
            _end(agent)


def _is_answered(path: Path, within_s: float) -> bool:
    """Whether somebody gives an answer; a connection that is taken is waited on."""
    connection = UnixConnection(str(path), within_s)
    try:
        body = '{"inputs": [{"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [%s]}]}'
        connection.request("POST", "/v2/models/digits/infer", body % ", ".join("8" * 64))
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _cpu_s(pid: int) -> float | None:
    try:
        times = [each.cpu_times() for each in (psutil.Process(pid), *psutil.Process(pid).children())]
    except psutil.Error:
        return None
    return float(sum(each.user + each.system for each in times))


def _end(agent: "subprocess.Popen[bytes]") -> None:
    agent.terminate()
    try:
        agent.wait(END_S)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()


def _missed(starts: Sequence[Start]) -> int:
    return sum(each.first_answer_s is None for each in starts)


def _median(starts: Sequence[Start]) -> float | None:
    answered = [each.first_answer_s for each in starts if each.first_answer_s is not None]
    return median(answered) if answered else None


def _row(kind: str, starts: Sequence[Start]) -> Mapping[str, Cell]:
    answered = [each.first_answer_s for each in starts if each.first_answer_s is not None]
    cpu_s = [each.cpu_s for each in starts if each.cpu_s is not None]
    return {
        "start": kind,
        "starts": len(starts),
        "missed": _missed(starts),
        "first_answer_s": _median(starts),
        "longest_s": max(answered) if answered else None,
        "cpu_s": median(cpu_s) if cpu_s else None,
    }
