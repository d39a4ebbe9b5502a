"""The worker process: opens the bundle, starts the engine at one operating point, serves on inherited sockets."""

import argparse
import asyncio
import faulthandler
import gc
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.engines.engine import UnsupportedPoint, Variant
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.installed import UnknownEngine
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.placement_watch import PlacementWatch
from tidegate.engines.runtime.registry import open_at_once
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.errors import TidegateError
from tidegate.footage.store import FootageStore
from tidegate.messages import LINE_LIMIT_BYTES, AdmissionState, FromWorker, Ready, Starting, Unable, encode
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.parent import finish_within
from tidegate.service_log import log_to_standard_error
from tidegate.worker.admission import Admission
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import NoRightAnswer, first_variant, refused_points
from tidegate.worker.control import ControlChannel
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.engine_trials import tried
from tidegate.worker.expected_bundle import OtherBundle, open_expected
from tidegate.worker.footage import KeptFootage
from tidegate.worker.frigate.detector import Detector
from tidegate.worker.frigate.hand_over import FileModel, HandOver
from tidegate.worker.http.connections import Connections
from tidegate.worker.http.open_files import connection_limit, files_in_use, raise_file_limit
from tidegate.worker.http.server import Server
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.shadow import Shadow
from tidegate.worker.streams.opening import open_streams
from tidegate.worker.streams.stream import Stream

if TYPE_CHECKING:
    from tidegate.worker.frigate.door import FrigateDoor

log = logging.getLogger("tidegate.worker")

ORPHAN_ENDS_S = 5.0
"""For what was asked before the supervisor was gone."""
REASON_LETTERS = 2000


@dataclass(frozen=True, slots=True)
class FrigateArguments:
    """Where Frigate asks, how long it may wait, and where the models are kept that it hands over, if it does."""

    listen_fd: int
    answer_within_s: float
    models: Path | None


@dataclass(frozen=True, slots=True)
class FootageArguments:
    """Where frames are kept, how many bytes of them and for how long, and how long a clip is."""

    directory: Path
    max_bytes: int
    max_age_s: float
    clip_s: float


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the supervisor says on the command line."""

    bundle: Path
    bundle_sha256: str | None
    point: str
    engine: str
    cache: Path | None
    keep_bytes: int
    spin: bool
    memory_limit_bytes: int | None
    control_fd: int
    crash_fd: int | None
    certificates_fd: int | None
    listen_fds: tuple[int, ...]
    frigate: "FrigateArguments | None"
    footage: "FootageArguments | None"


def parse_arguments() -> Arguments:
    """The command line; it is the supervisor's, not a user's."""
    parser = argparse.ArgumentParser(prog="tidegate-worker")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--bundle-sha256")
    parser.add_argument("--point", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--keep-bytes", type=int, default=0)
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("--memory-limit", type=int)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--crash-fd", type=int)
    parser.add_argument("--certificates-fd", type=int)
    parser.add_argument("--listen-fd", type=int, action="append", required=True)
    parser.add_argument("--frigate-fd", type=int)
    parser.add_argument("--frigate-within-s", type=float, default=math.inf)
    parser.add_argument("--frigate-models", type=Path)
    parser.add_argument("--footage", type=Path)
    parser.add_argument("--footage-bytes", type=int, default=0)
    parser.add_argument("--footage-age-s", type=float, default=math.inf)
    parser.add_argument("--clip-s", type=float, default=math.inf)
    parsed = parser.parse_args()
    frigate = None
    if parsed.frigate_fd is not None:
        frigate = FrigateArguments(parsed.frigate_fd, parsed.frigate_within_s, parsed.frigate_models)
    footage = None
    if parsed.footage is not None:
        footage = FootageArguments(parsed.footage, parsed.footage_bytes, parsed.footage_age_s, parsed.clip_s)
    return Arguments(
        bundle=parsed.bundle,
        bundle_sha256=parsed.bundle_sha256,
        point=parsed.point,
        engine=parsed.engine,
        cache=parsed.cache,
        keep_bytes=parsed.keep_bytes,
        spin=parsed.spin,
        memory_limit_bytes=parsed.memory_limit,
        control_fd=parsed.control_fd,
        crash_fd=parsed.crash_fd,
        certificates_fd=parsed.certificates_fd,
        listen_fds=tuple(parsed.listen_fd),
        frigate=frigate,
        footage=footage,
    )


@dataclass(frozen=True, slots=True)
class _Opened:
    """What serves: `variant` has answered the canaries. `auto` and `trials` where engines are to be tried."""

    bundle: Bundle
    engine: ResidentEngine
    refused: dict[str, str]
    canaries: Canaries
    variant: Variant
    auto: AutoEngine | None
    trials: Callable[[], Choice] | None


def _open(arguments: Arguments) -> _Opened:
    """Says on the way what it does, and why it can't; exits then."""
    try:
        _tell(arguments.control_fd, Starting("it opens the bundle"))
        bundle = open_expected(arguments.bundle, arguments.bundle_sha256, arguments.certificates_fd)
        _tell(arguments.control_fd, Starting(f"it opens engine {arguments.engine}"))
        opened, trials = open_at_once(
            arguments.engine, bundle, arguments.cache, arguments.spin, arguments.memory_limit_bytes
        )
        engine = ResidentEngine(opened, arguments.keep_bytes)
        refused = refused_points(engine, bundle.ladder)
        _tell(arguments.control_fd, Starting(f"it prepares {arguments.point} on {engine.name}"))
        canaries = bundle.canaries()
        variant = first_variant(engine, bundle.ladder, canaries, arguments.point, refused)
    except (BundleError, UnknownEngine, UnsupportedPoint, NoRightAnswer) as error:
        log.error("%s", error)  # noqa: TRY400 - its reason is all there is to know
        reason = str(error)[:REASON_LETTERS]
        _tell(arguments.control_fd, Unable(reason, other_bundle=isinstance(error, OtherBundle)))
        sys.exit(os.EX_UNAVAILABLE)
    auto = opened if isinstance(opened, AutoEngine) else None
    return _Opened(bundle, engine, refused, canaries, variant, auto, trials)


async def serve(arguments: Arguments, each_second: Callable[[], None]) -> None:
    """Be ready, serve when the supervisor lets requests in, until it says stop or is gone."""
    opened = _open(arguments)
    bundle, engine, auto = opened.bundle, opened.engine, opened.auto
    canaries, variant = opened.canaries, opened.variant
    queue = InferenceQueue(variant)
    shadow = _shadow(opened, queue, arguments.footage)
    certified_answers = CertifiedAnswers(engine, bundle.ladder, opened.refused, canaries, queue)
    interface = Interface.of(bundle)
    admission = Admission()
    endpoint = Endpoint(bundle.model, interface, queue, shadow, certified_answers, admission)
    frigate = None
    if arguments.frigate is not None:
        detector_of = partial(Detector, bundle.model, interface, queue, shadow, admission)
        frigate = _frigate_door(arguments.frigate, detector_of, lambda: endpoint.admission_state)
    connections = Connections(connection_limit(raise_file_limit(), files_in_use()))
    server = Server(endpoint, connections, each_second)
    channel = socket.socket(fileno=arguments.control_fd)
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=LINE_LIMIT_BYTES)
    control = ControlChannel(
        reader,
        writer,
        bundle=bundle,
        engine=engine,
        queue=queue,
        endpoint=endpoint,
        shadow=shadow,
        certified_answers=certified_answers,
        canaries=canaries,
        takes_connections=lambda: server.takes_connections,
        take_dropped=tuple if auto is None else auto.take_dropped,
        take_turned_away=(
            endpoint.take_turned_away,
            *(() if frigate is None else (frigate.take_turned_away,)),
        ),
    )
    finish_within(ORPHAN_ENDS_S)
    writer.write(encode(Ready(os.getpid(), variant.point.name, engine.name, opened.refused, bundle.sha256)))
    await writer.drain()
    commanded = asyncio.create_task(control.serve())
    let_in = asyncio.create_task(control.may_serve.wait())
    await asyncio.wait((let_in, commanded), return_when=asyncio.FIRST_COMPLETED)
    if control.may_serve.is_set():
        listening = [socket.socket(fileno=fd) for fd in arguments.listen_fds]
        serving = asyncio.create_task(server.serve(listening, control.serve_message.access))
        if frigate is not None:
            control.take_frigate = frigate.take
            frigate.start()
        open_one = partial(
            Stream, queue=queue, shadow=shadow, admission=admission, state=lambda: endpoint.admission_state
        )
        streams = _started_streams(control, interface, open_one)
        if opened.trials is not None and auto is not None:
            trying = asyncio.create_task(_try_engines(control, auto, opened.trials))
            commanded.add_done_callback(lambda _: trying.cancel())
        ended_by: list[signal.Signals] = []
        with ending_on_signals(server.stop, ended_by):
            await asyncio.wait((serving, commanded), return_when=asyncio.FIRST_COMPLETED)
            server.stop()
            await asyncio.gather(*(asyncio.to_thread(each.stop) for each in streams))
            if frigate is not None:
                await asyncio.to_thread(frigate.stop)
            await serving
        for number in ended_by:
            queue.close()
            signal.raise_signal(number)  # the supervisor says what ended it
    queue.close()
    await asyncio.to_thread(shadow.close)
    if commanded.done():
        commanded.result()


def _started_streams(control: ControlChannel, interface: Interface, open_one: "partial[Stream]") -> list[Stream]:
    streams = open_streams(control.serve_message, interface, open_one)
    control.take_streams = lambda: tuple(each.take() for each in streams)
    for each in streams:
        each.start()
    return streams


def _frigate_door(
    asked: FrigateArguments, detector_of: "partial[Detector]", state: Callable[[], AdmissionState]
) -> "FrigateDoor":
    from tidegate.worker.frigate.door import FrigateDoor  # noqa: PLC0415 - loads ZeroMQ, which few agents have

    hand_over = None if asked.models is None else HandOver(asked.models, _open_file)
    listening = socket.socket(fileno=asked.listen_fd)
    detector = detector_of(state, hand_over)
    return FrigateDoor(listening, detector, asked.answer_within_s, takes_models=hand_over is not None)


def _shadow(opened: _Opened, queue: InferenceQueue, asked: FootageArguments | None) -> Shadow:
    footage = None if asked is None else _kept_footage(asked)
    bundle, comparison = opened.bundle, opened.bundle.calibration.comparison
    watch = None if opened.auto is None else PlacementWatch(opened.auto, comparison)
    return Shadow(opened.engine, bundle.ladder.full, comparison, queue, watch=watch, footage=footage)


def _kept_footage(asked: FootageArguments) -> KeptFootage:
    return KeptFootage(FootageStore(asked.directory, asked.max_bytes, asked.max_age_s), asked.clip_s)


def _open_file(path: Path, name: str) -> FileModel:
    try:
        from tidegate.engines.onnxruntime.file_variant import FileVariant  # noqa: PLC0415 - loads ONNX Runtime
    except ModuleNotFoundError:
        raise UnsupportedPoint(f"{name}: ONNX Runtime is missing; pip install 'tidegate[onnx]'") from None
    return FileVariant(path, name)


async def _try_engines(control: ControlChannel, auto: AutoEngine, trials: Callable[[], Choice]) -> None:
    # What broke is in the log; the engines that answer go on.
    with suppress(TidegateError, OSError):
        if (choice := await tried(trials)) is not None:
            await control.use(auto, choice)


@contextmanager
def ending_on_signals(stop: Callable[[], None], ended_by: list[signal.Signals]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the serving instead of the process; they are noted in `ended_by`."""
    loop = asyncio.get_running_loop()

    def end(number: signal.Signals) -> None:
        ended_by.append(number)
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Entry point of `python -m tidegate.worker`."""
    # What was imported stays: no collection has to walk it, least of all those at the end.
    gc.freeze()
    lines = log_to_standard_error("worker")
    arguments = parse_arguments()
    if arguments.crash_fd is not None:
        faulthandler.enable(arguments.crash_fd)
        # The supervisor asks a worker that hangs where it does, before it ends it.
        faulthandler.register(signal.SIGUSR1, arguments.crash_fd)
    keep_one_heap()
    asyncio.run(serve(arguments, lines.tick))


def _tell(control_fd: int, message: FromWorker) -> None:
    """Before there is an event loop to write for it."""
    with suppress(OSError):
        os.write(control_fd, encode(message))


if __name__ == "__main__":
    main()
