"""Forks services off one process that has imported them: imports are half of what a start costs. Linux only.

Run with `tidegate.child`; each message on its socket asks for one service, or for how one has ended.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO

from tidegate import child, child_main, parent

MESSAGE_BYTES = 1 << 17


class ForkedService:
    """The part of subprocess.Popen that agents of tests need."""

    def __init__(self, config: Path, log: IO[bytes], constants: Mapping[str, float]) -> None:
        asked = {
            "config": str(config),
            "directory": str(Path.cwd()),
            "environment": child.environment(),
            "constants": dict(constants),
        }
        self.pid = _answer(asked, log)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code as Popen has it, None while it runs."""
        if self.returncode is None and _has_ended(self.pid, 0):
            self.returncode = _answer({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired after so many seconds."""
        if self.returncode is None and not _has_ended(self.pid, timeout):
            raise subprocess.TimeoutExpired("service", timeout or 0.0)
        code = self.poll()
        assert code is not None
        return code

    def terminate(self) -> None:
        """SIGTERM."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _has_ended(pid: int, within_s: float | None) -> bool:
    """Its process id stays taken until the server has been asked how it ended."""
    descriptor = os.pidfd_open(pid)
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        return bool(ended.poll(None if within_s is None else within_s * 1000))
    finally:
        os.close(descriptor)


def _answer(asked: dict[str, object], *files: IO[bytes]) -> int:
    socket.send_fds(_server(), [json.dumps(asked).encode()], [file.fileno() for file in files])
    return int(_server().recv(MESSAGE_BYTES))


@cache
def _server() -> socket.socket:
    """The socket of this process's server, which is started now and ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = child.environment()
    paths = (str(Path(__file__).parent), environment.get("PYTHONPATH"))
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    command = child.command(Path(__file__).stem, str(theirs.fileno()))
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait(30)

    atexit.register(end)
    return ours


def _serve(asking: socket.socket) -> Path | None:
    """In a fork, the configuration of the service that it is to be; None when nobody asks any more."""
    while True:
        message, files, _, _ = socket.recv_fds(asking, MESSAGE_BYTES, 1)
        if not message:
            return None
        asked = json.loads(message)
        if "ended" in asked:
            _, status = os.waitpid(asked["ended"], 0)
            asking.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        server = os.getpid()
        if pid := os.fork():
            os.close(files[0])
            asking.send(str(pid).encode())
            continue
        parent.end_with(server)
        asking.close()
        child_main.take_name("tidegate.supervisor")
        for standard in (1, 2):
            os.dup2(files[0], standard)
        os.close(files[0])
        os.chdir(asked["directory"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        for name, value in asked["constants"].items():
            module, _, constant = name.rpartition(".")
            assert hasattr(import_module(module), constant), name
            setattr(import_module(module), constant, value)
        return Path(asked["config"])


def _main(descriptor: int) -> int:
    from tidegate.supervisor.__main__ import main  # noqa: PLC0415 - the server's alone: tests don't pay for it

    config = _serve(socket.socket(fileno=descriptor))
    return os.EX_OK if config is None else main(config)


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1])))
