"""`tidegate bench serving`: the worker's processor time for an answer over that of the bare network.

Everything is processor time of one server process, block by block in turn, as a share of the bare network's in the
same round; what else the machine does moves both.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tidegate_bench.broken import BrokenError
from tidegate_bench.engine.networks import SUBJECTS, keep_subject
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress
from tidegate_bench.race import PeerEnded, PeerProcess, turns
from tidegate_bench.serving import strangers
from tidegate_bench.serving.server import RAW_SUFFIX
from tidegate_bench.serving.ways import (
    BINARY,
    FLOOR,
    RAW,
    REGION_BYTES,
    SHARED,
    STREAM,
    WAYS,
    Way,
    ask,
    ask_raw,
    picture,
    registration,
    request_of,
)

NETWORKS = ("resnet18", "mobilenet_v2", "resnet20")
QUICK_NETWORKS = ("resnet20",)
CROWDED = "resnet20"
"""Whose own answers take least, so that what strangers add would show."""
LARGE = (3, 224, 224)
ROUNDS, QUICK_ROUNDS = 9, 5
BLOCK_NS = 200_000_000
BARE = Way("bare", "network")
GOALS = {BINARY: 1.10, SHARED: 1.03, STREAM.form: 1.03}
OPEN_WITHIN_S, ANSWER_WITHIN_S = 300.0, 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one way on one network: processor time of an answer, and and its ratios.

    Medians; `ratio` and `over_floor` are of what was measured in the same round.
    """

    network: str
    way: Way
    answer_us: float
    bare_us: float
    ratio: float
    over_floor: float


def run(*, quick: bool, progress: Progress) -> Figures:
    """Every way on every network, and strangers beside a client. Raises BrokenError."""
    found: list[Measured] = []
    crowds: list[strangers.Crowd] = []
    for name in QUICK_NETWORKS if quick else NETWORKS:
        with TemporaryDirectory(prefix="tidegate-serving-") as made:
            progress(f"{name}: exporting")
            keep_subject(name, Path(made) / name)
            try:
                found += measured(name, Path(made), QUICK_ROUNDS if quick else ROUNDS, progress)
                if name == CROWDED:
                    number = strangers.QUICK_NUMBER if quick else strangers.NUMBER
                    crowds = strangers.harmless(Path(made), name, SUBJECTS[name].shape, number, progress)
            except PeerEnded as error:
                raise BrokenError(f"{name}: {error}") from error
    rows = [*(_row(each) for each in found), *(strangers.row_of(CROWDED, each) for each in crowds)]
    return Figures("serving", rows, [*goals(found), *strangers.goals(crowds)])


def measured(
    name: str, directory: Path, rounds: int, progress: Progress, block_ns: int = BLOCK_NS
) -> list[Measured]:
    """Every way on a network that is kept in `directory`.

    In blocks of about `block_ns`. Raises PeerEnded and BrokenError.
    """
    path = directory / "server.sock"
    process = PeerProcess(name, "tidegate_bench.serving.server", (str(directory / name), str(path)))
    with ExitStack() as held:
        held.callback(process.close)
        process.wait_ready(OPEN_WITHIN_S)
        unix = held.enter_context(socket.socket(socket.AF_UNIX))
        unix.connect(str(path))
        about = process.ask({"do": "about"}, ANSWER_WITHIN_S)
        tcp = held.enter_context(socket.create_connection(("127.0.0.1", int(about["port"]))))
        raw = held.enter_context(socket.socket(socket.AF_UNIX))
        raw.connect(f"{path}{RAW_SUFFIX}")
        shape = SUBJECTS[name].shape
        region = held.enter_context(_region())
        ask(unix, registration(region.name))
        requests: dict[Way, bytes] = {}
        for way in WAYS:
            values = picture(shape, way.datatype)
            requests[way] = request_of(way, values, classes=int(about["answer_bytes"]) // 4)
        bare_ns = int(process.ask({"do": "bare", "answers": 20}, ANSWER_WITHIN_S)["ns"]) / 20
        answers = max(3, round(block_ns / bare_ns))
        ways = (BARE, *WAYS, STREAM)
        took: dict[Way, list[float]] = {way: [] for way in ways}
        for number, way in enumerate(turns(ways, 1 + rounds)):
            if number % len(ways) == 0:
                progress(f"{name}: round {number // len(ways)} of {rounds}")
            if way in {BARE, STREAM}:
                do = "bare" if way is BARE else "stream"
                ns = int(process.ask({"do": do, "answers": answers}, ANSWER_WITHIN_S)["ns"])
            else:
                if way.form == SHARED:
                    values = picture(shape, way.datatype)
                    _put(region, values.tobytes())
                connected, request = raw if way.form == RAW else tcp if way.tcp else unix, requests[way]
                before = _cpu_ns(process)
                for _ in range(answers):
                    if way.form == RAW:
                        ask_raw(connected, request, int(about["answer_bytes"]))
                    else:
                        ask(connected, request)
                ns = _cpu_ns(process) - before
            took[way].append(ns / answers)
    # The first round warms up.
    bare = took[BARE][1:]
    return [
        Measured(
            name,
            way,
            answer_us=median(took[way][1:]) / 1e3,
            bare_us=median(bare) / 1e3,
            ratio=median(ns / own for ns, own in zip(took[way][1:], bare, strict=True)),
            over_floor=median(ns / own for ns, own in zip(took[way][1:], took[FLOOR][1:], strict=True)),
        )
        for way in (*WAYS, STREAM)
    ]


def _cpu_ns(process: PeerProcess) -> int:
    return int(process.ask({"do": "cpu"}, ANSWER_WITHIN_S)["ns"])


def _put(region: SharedMemory, data: bytes) -> None:
    assert region.buf is not None  # noqa: S101 - it is open
    region.buf[: len(data)] = data


@contextmanager
def _region() -> Iterator[SharedMemory]:
    region = SharedMemory(create=True, size=REGION_BYTES)
    try:
        yield region
    finally:
        region.close()
        region.unlink()


def _row(each: Measured) -> Mapping[str, Cell]:
    return {
        "network": f"{each.network} int8",
        "way": each.way.name,
        "bare_network_us": each.bare_us,
        "answer_us": each.answer_us,
        "added_us": each.answer_us - each.bare_us,
        "over_bare": each.ratio,
        "over_raw": each.over_floor,
    }


def goals(found: Sequence[Measured]) -> Iterator[Goal]:
    """Those of large pictures."""
    for each in found:
        if each.way.form in GOALS and SUBJECTS[each.network].shape == LARGE:
            yield Goal(
                f"{each.network} int8, {each.way.name}: processor time over the bare network",
                GOALS[each.way.form],
                each.ratio,
                at_least=False,
            )
