"""Whether strangers' connections, at every stage of a request, cost a client its answers or the server memory."""

import resource
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Cell, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerProcess
from tidegate_bench.serving.ways import BINARY, Way, ask, picture, request_of

NUMBER, QUICK_NUMBER = 1000, 300
BLOCKS, BLOCK_ANSWERS = 9, 12
"""Blocks of answers; before each, those that dawdle send one byte more."""
ALLOWED_GROWTH_MIB = 32.0
"""16 MiB of answers that nobody reads, and what the places themselves take."""
SPARE_FILES = 100
OPEN_WITHIN_S, ANSWER_WITHIN_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What each of them sends at once, and as its next byte each time; empty where it stays silent."""

    name: str
    first: bytes
    next_byte: bytes = b""


def kinds(request: bytes) -> tuple[Kind, ...]:
    """None, then one for each stage at which a connection may stay."""
    head = request.partition(b"\r\n\r\n")[0]
    return (
        Kind("nobody else", b""),
        Kind("idle", b""),
        Kind("a head that trickles", head[:40], b"x"),
        Kind("a body that is half there", request[: (len(head) + len(request)) // 2]),
        Kind("a body that trickles", request[: len(head) + 4], b" "),
        Kind("answers that nobody reads", request),
    )


@dataclass(frozen=True, slots=True)
class Crowd:
    """One client among `number` strangers: its answers, those it missed, and the server's processor time for each.

    `over_alone` is that over the time without strangers. `grown_mib` is resident memory over that before all.
    """

    kind: str
    number: int
    answers: int
    missed: int
    answer_us: float
    over_alone: float
    grown_mib: float


def harmless(directory: Path, name: str, shape: tuple[int, ...], number: int, progress: Progress) -> list[Crowd]:
    """One kind after the other against one server. Raises PeerEnded and BrokenError."""
    path = directory / "crowded.sock"
    process = PeerProcess(name, "tidegate_bench.serving.server", (str(directory / name), str(path)))
    found: list[Crowd] = []
    with ExitStack() as held:
        held.callback(process.close)
        held.enter_context(_files(number + SPARE_FILES))
        process.wait_ready(OPEN_WITHIN_S)
        about = process.ask({"do": "about"}, ANSWER_WITHIN_S)
        way = Way(BINARY, "UINT8")
        request = request_of(way, picture(shape, way.datatype), classes=int(about["answer_bytes"]) // 4)
        client = _Client(path, request)
        held.callback(client.close)
        client.block(process)  # warms up
        began = psutil.Process(process.pid).memory_info().rss
        alone_us = 0.0
        for kind in kinds(request):
            progress(f"{name}: {kind.name}")
            with _strangers(path, kind, 0 if kind.name == "nobody else" else number) as strangers:
                missed_before = client.missed
                blocks_us = []
                for _ in range(BLOCKS):
                    for each in strangers:
                        _send(each, kind.next_byte)
                    blocks_us.append(client.block(process))
                answer_us = median(blocks_us)
                alone_us = alone_us or answer_us
                grown = psutil.Process(process.pid).memory_info().rss - began
                found.append(
                    Crowd(
                        kind.name,
                        len(strangers),
                        BLOCKS * BLOCK_ANSWERS,
                        client.missed - missed_before,
                        answer_us,
                        answer_us / alone_us,
                        grown / 2**20,
                    )
                )
    return found


class _Client:
    """Asks on one connection, and opens it anew where it was closed, as clients do."""

    def __init__(self, path: Path, request: bytes) -> None:
        self.missed = 0
        self._path = path
        self._request = request
        self._connected: socket.socket | None = None

    def block(self, process: PeerProcess) -> float:
        """Microseconds of the server's processor time for each of a block's answers."""
        before = int(process.ask({"do": "cpu"}, ANSWER_WITHIN_S)["ns"])
        for _ in range(BLOCK_ANSWERS):
            self.missed += not (self._asked() or self._asked())
        ns = int(process.ask({"do": "cpu"}, ANSWER_WITHIN_S)["ns"]) - before
        return ns / BLOCK_ANSWERS / 1e3

    def close(self) -> None:
        """Hang up."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _asked(self) -> bool:
        """Whether it was answered; once more is what clients do with a kept connection that was closed."""
        try:
            if self._connected is None:
                self._connected = _dialled(self._path)
            ask(self._connected, self._request)
        except (OSError, BrokenError, ValueError):
            self.close()
            return False
        return True


def _dialled(path: Path) -> socket.socket:
    dialled = socket.socket(socket.AF_UNIX)
    # Not settimeout, by which a full backlog is an error at once instead of a wait: unix(7).
    within = struct.pack("ll", int(ANSWER_WITHIN_S), 0)
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        dialled.setsockopt(socket.SOL_SOCKET, option, within)
    dialled.connect(str(path))
    return dialled


@contextmanager
def _strangers(path: Path, kind: Kind, number: int) -> Iterator[list[socket.socket]]:
    """So many of a kind, until the block ends; whoever is pushed out stays in the list."""
    with ExitStack() as held:
        opened = []
        for _ in range(number):
            stranger = held.enter_context(_dialled(path))
            stranger.setblocking(False)
            _send(stranger, kind.first)
            opened.append(stranger)
        yield opened


def _send(stranger: socket.socket, sent: bytes) -> None:
    if sent:
        try:
            stranger.send(sent)
        except OSError:
            return  # it was pushed out, or nobody reads what it sent before


@contextmanager
def _files(needed: int) -> Iterator[None]:
    """This process may open so many. Raises BrokenError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BrokenError(f"this process may open {hard} files, {needed} are needed; raise `ulimit -Hn`")
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def row_of(network: str, each: Crowd) -> Mapping[str, Cell]:
    """For the table."""
    return {
        "network": f"{network} int8",
        "strangers": f"{each.number} {each.kind}" if each.number else each.kind,
        "answers": each.answers,
        "missed": each.missed,
        "answer_us": each.answer_us,
        "over_alone": each.over_alone,
        "grown_mib": each.grown_mib,
    }


def goals(found: list[Crowd]) -> Iterator[Goal]:
    """No answer missed, and memory within what the limits add up to."""
    crowds = [each for each in found if each.number]
    number = max(each.number for each in crowds)
    missed = sum(each.missed for each in crowds)
    grown = max(each.grown_mib for each in crowds)
    yield Goal(f"answers missed beside {number} strangers of each kind", 0, missed, at_least=False)
    yield Goal("growth of the server's memory by them, MiB", ALLOWED_GROWTH_MIB, grown, at_least=False)
