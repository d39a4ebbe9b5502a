"""One question to a NUT server: the variables of a UPS (Network UPS Tools, developer guide: network protocol).

Lines of text over TCP; reading needs no login. The whole exchange has one deadline, so that a server that drips
holds up nothing, and one bound on its size.
"""

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing

from tidegate_drivers.meters.address import UpsMeter
from tidegate_drivers.sensor import SensorError

DEADLINE_S = 3.0

_MOST_BYTES = 256 * 1024
_VAR = re.compile(r'VAR (\S+) (\S+) "((?:[^"\\]|\\.)*)"')
_UPS = re.compile(r'UPS (\S+) "')
_TO_ESCAPE = re.compile(r'["\\]')
_ESCAPED = re.compile(r"\\(.)")
_MEANINGS = {
    "ACCESS-DENIED": "it gives this host or user no access (upsd.conf, upsd.users)",
    "DATA-STALE": "the UPS has not answered its driver lately",
    "DRIVER-NOT-CONNECTED": "the driver of this UPS does not run",
    "INVALID-USERNAME": "it knows no such user (upsd.users)",
    "INVALID-PASSWORD": "it refuses the password (upsd.users)",
}


class RefusedError(SensorError):
    """The server answered with an error; `code` is its word."""

    def __init__(self, code: str, server: str) -> None:
        super().__init__(f"{server} says {code}: {_MEANINGS.get(code, 'see the NUT developer guide')}")
        self.code = code


def variables(address: UpsMeter) -> Mapping[str, str]:
    """All variables of the UPS. Raises SensorError."""
    server = f"the NUT server {address.host}:{address.port}"
    ends_at = time.monotonic() + DEADLINE_S
    try:
        with closing(socket.create_connection((address.host, address.port), DEADLINE_S)) as connection:
            return _ask(connection, address, server, ends_at)
    except TimeoutError:
        raise SensorError(f"{server} has not answered within {DEADLINE_S:g} s") from None
    except OSError as error:
        raise SensorError(
            f"{server} can't be reached: {error if error.filename else error.strerror or error}"
        ) from error


def _ask(connection: socket.socket, address: UpsMeter, server: str, ends_at: float) -> Mapping[str, str]:
    lines = _lines(connection, server, ends_at)
    if address.username is not None:
        password = address.password_file.read_text("utf-8").strip() if address.password_file else ""
        for word, value in (("USERNAME", address.username), ("PASSWORD", password)):
            if value:
                quoted = _TO_ESCAPE.sub(r"\\\g<0>", value)
                _send(connection, f'{word} "{quoted}"', ends_at)
                _accepted(next(lines), server)
    _send(connection, f"LIST VAR {address.ups}", ends_at)
    found: dict[str, str] = {}
    try:
        for line in _list(lines, "VAR", server):
            if (match := _VAR.fullmatch(line)) is not None:
                found[match[2]] = _ESCAPED.sub(r"\1", match[3])
    except RefusedError as error:
        if error.code != "UNKNOWN-UPS":
            raise
        _send(connection, "LIST UPS", ends_at)
        names = ", ".join(match[1] for line in _list(lines, "UPS", server) if (match := _UPS.match(line)))
        raise SensorError(f"{server} knows no UPS {address.ups}; it has {names or 'none'}") from None
    if not found:
        raise SensorError(f"{server} tells no variable of {address.ups}")
    return found


def _list(lines: Iterator[str], what: str, server: str) -> Iterator[str]:
    """The lines of one list. Raises SensorError for an answer that is none."""
    first = next(lines)
    _accepted(first, server)
    if not first.startswith(f"BEGIN LIST {what}"):
        raise SensorError(f"{server} says {first[:60]!r}, not a list: is it a NUT server?")
    for line in lines:
        if line.startswith(f"END LIST {what}"):
            return
        yield line


def _accepted(line: str, server: str) -> None:
    if line.startswith("ERR "):
        raise RefusedError(line.removeprefix("ERR ").partition(" ")[0], server)


def _send(connection: socket.socket, line: str, ends_at: float) -> None:
    connection.settimeout(max(0.001, ends_at - time.monotonic()))
    connection.sendall(f"{line}\n".encode())


def _lines(connection: socket.socket, server: str, ends_at: float) -> Iterator[str]:
    waiting = b""
    taken = 0
    while taken < _MOST_BYTES:
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        chunk = connection.recv(4096)
        if not chunk:
            raise SensorError(f"{server} closed the connection in the middle of an answer")
        taken += len(chunk)
        *complete, waiting = (waiting + chunk).split(b"\n")
        for line in complete:
            yield line.decode("utf-8", "replace").strip()
    raise SensorError(f"{server} answers without an end")
