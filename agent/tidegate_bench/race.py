"""Processes that take turns: each runs while all others wait, and one that ends costs nobody else anything.

The race asks in lines of JSON (`PeerProcess`, `turns`); in the contestant's own process `answer_requests` answers.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from tidegate import child

PAUSE_S = 0.05
"""Before each turn: the neighbour's threads may still wait awake, libgomp's by default for some 5 ms."""

Contestant = TypeVar("Contestant")


class PeerEnded(Exception):  # noqa: N818 - reads as what it is at the call site
    """A contestant ended, or did not answer in time; the message names it and says which."""


class PeerProcess:
    """`python -m MODULE ARGUMENTS`, which says one line when it is ready and answers each line with one."""

    def __init__(self, name: str, module: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            child.command(module, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child.environment(),
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_ready(self, within_s: float) -> None:
        """Wait for its first line. Raises PeerEnded."""
        self._answer(within_s, "before its first answer")

    def ask(self, request: Mapping[str, object], within_s: float) -> dict[str, Any]:
        """Its answer to a request. Raises PeerEnded."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            # It is gone; the answer that doesn't come says how.
            pass
        return self._answer(within_s, "in the middle")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _answer(self, within_s: float, when: str) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        deadline = time.monotonic() + within_s
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise PeerEnded(f"{self.name} did not answer within {within_s:.0f} s")
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise PeerEnded(f"{self.name} ended with code {self._process.wait()} {when}")
            line += piece
        said: dict[str, Any] = json.loads(line)
        return said


def turns(contestants: Sequence[Contestant], rounds: int) -> Iterator[Contestant]:
    """Everyone once a round, in another order each time: nobody always follows the same neighbour."""
    order = Random(0)  # noqa: S311 - nothing secret hangs on it
    for _ in range(rounds):
        for contestant in order.sample(contestants, len(contestants)):
            time.sleep(PAUSE_S)
            yield contestant


def output_for_answers() -> int:
    """A file descriptor in the place of standard output, before a runtime is loaded: some print to it (MNN does).

    What is printed from now on goes to standard error.
    """
    kept = os.dup(1)
    os.dup2(2, 1)
    return kept


def answer_requests(answer: Callable[[dict[str, Any]], Mapping[str, object]], output: int = 1) -> None:
    """In a contestant's process: say that it is ready, then answer each line of standard input until it ends.

    `output` is the file descriptor to answer on.
    """
    _say({"ready": True}, output)
    for line in sys.stdin:
        _say(answer(json.loads(line)), output)


def _say(message: Mapping[str, object], output: int) -> None:
    os.write(output, json.dumps(message).encode() + b"\n")
