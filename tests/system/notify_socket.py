"""systemd's end of sd_notify(3): a datagram socket on which a real agent's messages arrive."""

import socket
import time
from pathlib import Path
from typing import Self


class NotifySocket:
    """Use as a context manager; messages are kept by the kernel until they are asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def next(self, timeout_s: float = 20.0) -> dict[str, str]:
        """The next message by its fields. Raises TimeoutError."""
        self._socket.settimeout(timeout_s)
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def wait_for(self, field: str, timeout_s: float = 60.0) -> dict[str, str]:
        """The next message with a field such as READY=1. Raises TimeoutError."""
        name, value = field.split("=", 1)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            message = self.next(timeout_s)
            if message.get(name) == value:
                return message
        raise TimeoutError(field)

    def forget(self) -> None:
        """Leave out what has arrived by now."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            return
