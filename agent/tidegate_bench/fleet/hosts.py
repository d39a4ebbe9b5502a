"""The processes in which light agents live, seen from outside."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tidegate import child
from tidegate.trust.keys import PrivateKey
from tidegate_bench.broken import BrokenError
from tidegate_bench.fleet.host import HOST_ORDER, HOST_STATE, HostOrder, HostState

_STOP_S = 60.0


def online(states: Sequence[HostState]) -> int:
    """How many agents are connected."""
    return sum(at is not None for state in states for at in state.online_at_s.values())


class Hosts:
    """`count` processes, the agents dealt out among them. Use as a context manager. Raises BrokenError."""

    def __init__(
        self,
        port: int,
        directory: Path,
        agents: Mapping[str, Sequence[str]],
        operator: PrivateKey,
        *,
        count: int,
        answers: int = 0,
    ) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._of: dict[str, int] = {name: number % count for number, name in enumerate(agents)}
        self._orders = [
            HostOrder(
                port,
                str(directory),
                {name: tuple(groups) for name, groups in agents.items() if self._of[name] == number},
                operator.public.raw.hex(),
                answers,
                number,
            )
            for number in range(count)
        ]

    def states(self) -> list[HostState]:
        """What each says of its agents."""
        with self._lock:
            for process in self._processes:
                self._tell(process, json.dumps("state"))
            return [HOST_STATE.validate_json(self._answer(process)) for process in self._processes]

    def online_at_s(self) -> list[float]:
        """When each agent came up that is online."""
        return [at for state in self.states() for at in state.online_at_s.values() if at is not None]

    def wait(self, holds: Callable[[Sequence[HostState]], bool], most_s: float) -> bool:
        """Look every other second whether it holds, for so long at the most; whether it did."""
        until = time.monotonic() + most_s
        while True:
            if holds(self.states()):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(2.0)

    def forget(self, names: Sequence[str]) -> None:
        """Have these agents put their demoted points back."""
        with self._lock:
            for number, process in enumerate(self._processes):
                here = [name for name in names if self._of[name] == number]
                if here:
                    self._tell(process, json.dumps(["forget", *here]))
                    self._answer(process)

    def _tell(self, process: subprocess.Popen[str], line: str) -> None:
        assert process.stdin is not None  # noqa: S101 - it was started with one
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except OSError as error:
            raise BrokenError(f"a process of agents has ended: {error}") from None

    def _answer(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None  # noqa: S101 - it was started with one
        line = process.stdout.readline()
        if not line:
            raise BrokenError(f"a process of agents has ended with {process.wait(_STOP_S)}")
        return line

    def __enter__(self) -> Self:
        for order in self._orders:
            process = subprocess.Popen(
                child.command("tidegate_bench.fleet.host"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child.environment(),
                text=True,
            )
            self._processes.append(process)
            self._tell(process, HOST_ORDER.dump_json(order).decode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
