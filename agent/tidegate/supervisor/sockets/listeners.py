"""The listening sockets: the supervisor opens them once, every worker inherits them.

While no worker is up, connections wait in the kernel's backlog instead of being refused.
"""

import socket
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate.errors import EX_UNAVAILABLE, TidegateError

BACKLOG = 2048
"""Connections that may wait while a worker is replaced, unless the kernel allows fewer (net.core.somaxconn).

A Unix socket whose queue is full refuses every client that has a timeout, so it must not be filled easily."""

ORPHAN_ENDS_S = 8.0
"""The worker of a killed supervisor still holds the sockets until it has answered what it was asked."""


class ListenerError(TidegateError):
    """A listening address can't be had; the message says who has it or what to change."""

    exit_code = EX_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Listeners:
    """Open listening sockets and where to reach them."""

    sockets: tuple[socket.socket, ...]
    unix_path: Path | None
    tcp_port: int | None
    key: str = "listen"

    def restored(self) -> "Listeners | None":
        """With a new Unix socket where the file of this one has been deleted; None while it is there.

        Raises ListenerError.
        """
        if self.unix_path is None or self.unix_path.exists():
            return None
        restored = _listen_unix(self.unix_path, self.key)
        return Listeners((restored, *self.sockets[1:]), self.unix_path, self.tcp_port, self.key)

    def close(self) -> None:
        """Close the sockets and take the Unix socket's file away."""
        for listening in self.sockets:
            listening.close()
        if self.unix_path is not None:
            self.unix_path.unlink(missing_ok=True)


def open_listeners(
    unix_path: Path | None, tcp_port: int | None, address: str = "127.0.0.1", key: str = "listen"
) -> Listeners:
    """Listen on a Unix socket and on an IP address; port 0 takes a free one. Raises ListenerError.

    `key` is the part of agent.yaml that says so.
    """
    opened = Listeners((), None, None, key)
    try:
        if unix_path is not None:
            opened = Listeners((_patiently(partial(_listen_unix, unix_path, key)),), unix_path, None, key)
        if tcp_port is not None:
            tcp = _patiently(partial(_listen_tcp, address, tcp_port, key))
            opened = Listeners((*opened.sockets, tcp), unix_path, tcp.getsockname()[1], key)
    except ListenerError:
        opened.close()
        raise
    return opened


def _patiently(listen: Callable[[], socket.socket]) -> socket.socket:
    deadline = time.monotonic() + ORPHAN_ENDS_S
    while True:
        try:
            return listen()
        except ListenerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _listen_unix(path: Path, key: str) -> socket.socket:
    _clear_stale(path, key)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        listening.bind(str(path))
        path.chmod(0o660)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ListenerError(f"{path}: {error.strerror or error}; set another {key}.unix in agent.yaml") from None
    return listening


def _listen_tcp(address: str, port: int, key: str) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        where = f"{address}:{port}"
        raise ListenerError(f"{where}: {error.strerror}; set another {key}.tcp in agent.yaml") from None
    return listening


def _clear_stale(path: Path, key: str) -> None:
    """Take away the file a killed supervisor left, but never one that somebody answers on."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenerError(f"{path}: exists and is not a socket; set another {key}.unix in agent.yaml")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
            except OSError:
                pass
        raise ListenerError(f"{path}: another tidegate is running here; stop it or set another {key}.unix")
