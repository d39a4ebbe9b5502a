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
from pathlib import Path

from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.footage.store import FootageStore
from tidegate.messages import LINE_LIMIT_BYTES, FromWorker, Ready, Starting, Unable, encode
from tidegate.parent import finish_within
from tidegate.service_log import log_to_standard_error
from tidegate.worker.control import ControlChannel
from tidegate.worker.doors import Doors, FrigateArguments
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.engine_trials import EngineTrials
from tidegate.worker.expected_bundle import OtherBundle, open_expected
from tidegate.worker.footage import KeptFootage
from tidegate.worker.further_models import FurtherModels
from tidegate.worker.http.connections import Connections
from tidegate.worker.http.open_files import connection_limit, files_in_use, raise_file_limit
from tidegate.worker.http.server import Server
from tidegate.worker.memory_budget import MemoryBudget
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.opened_model import UNABLE, OpenedModel, Runtime, open_model
from tidegate.worker.reception import Reception
from tidegate.worker.served_model import ServedModel

log = logging.getLogger("tidegate.worker")

ORPHAN_ENDS_S = 5.0
"""For what was asked before the supervisor was gone."""
REASON_LETTERS = 2000


@dataclass(frozen=True, slots=True)
class FootageArguments:
    """Where frames are kept, how many bytes of them and for how long, and how long a clip is."""

    directory: Path
    max_bytes: int
    max_age_s: float
    clip_s: float

    def kept(self) -> KeptFootage:
        """What keeps them there."""
        return KeptFootage(FootageStore(self.directory, self.max_bytes, self.max_age_s), self.clip_s)


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
    frigate: FrigateArguments | None
    footage: FootageArguments | None


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
    parser.add_argument("--frigate-model")
    parser.add_argument("--footage", type=Path)
    parser.add_argument("--footage-bytes", type=int, default=0)
    parser.add_argument("--footage-age-s", type=float, default=math.inf)
    parser.add_argument("--clip-s", type=float, default=math.inf)
    parsed = parser.parse_args()
    frigate = None
    if parsed.frigate_fd is not None:
        frigate = FrigateArguments(
            parsed.frigate_fd, parsed.frigate_within_s, parsed.frigate_models, parsed.frigate_model
        )
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


def _open(arguments: Arguments, runtime: Runtime) -> OpenedModel:
    """Says on the way what it does, and why it can't; exits then."""

    def say(doing: str) -> None:
        _tell(arguments.control_fd, Starting(doing))

    try:
        say("it opens the bundle")
        bundle = open_expected(arguments.bundle, arguments.bundle_sha256, arguments.certificates_fd)
        return open_model(bundle, arguments.engine, arguments.point, runtime, say)
    except UNABLE as error:
        log.error("%s", error)  # noqa: TRY400 - its reason is all there is to know
        reason = str(error)[:REASON_LETTERS]
        _tell(arguments.control_fd, Unable(reason, other_bundle=isinstance(error, OtherBundle)))
        sys.exit(os.EX_UNAVAILABLE)


async def serve(arguments: Arguments, each_second: Callable[[], None]) -> None:
    """Be ready, serve when the supervisor lets requests in, until it says stop or is gone."""
    runtime = Runtime(arguments.cache, arguments.keep_bytes, arguments.spin, arguments.memory_limit_bytes)
    opened = _open(arguments, runtime)
    reception = Reception()
    footage = None if arguments.footage is None else arguments.footage.kept()
    model = ServedModel(opened.parts(opened.bundle.model, footage))
    main = ModelEndpoint(
        model.name, model.interface, model.queue, model.parts.certified_answers, reception, model.shadow
    )
    endpoint = Endpoint(main, reception)
    connections = Connections(connection_limit(raise_file_limit(), files_in_use()))
    server = Server(endpoint, connections, each_second)
    doors = Doors(reception, arguments.frigate)
    channel = socket.socket(fileno=arguments.control_fd)
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=LINE_LIMIT_BYTES)
    control = ControlChannel(
        reader,
        writer,
        model=model,
        reception=reception,
        takes_connections=lambda: server.takes_connections,
        take_dropped=tuple if opened.auto is None else opened.auto.take_dropped,
        take_turned_away=(endpoint.take_turned_away, doors.take_turned_away),
    )
    control.take_streams, control.take_frigate = doors.take_streams, doors.take_frigate
    further = FurtherModels(model, reception, runtime, MemoryBudget(arguments.memory_limit_bytes), control.tell)
    control.further = further
    endpoint.serve_also(further)
    finish_within(ORPHAN_ENDS_S)
    ready = Ready(os.getpid(), model.point.name, model.engine, opened.refused, opened.bundle.sha256)
    writer.write(encode(ready))
    await writer.drain()
    commanded = asyncio.create_task(control.serve())
    let_in = asyncio.create_task(control.may_serve.wait())
    await asyncio.wait((let_in, commanded), return_when=asyncio.FIRST_COMPLETED)
    if control.may_serve.is_set():
        listening = [socket.socket(fileno=fd) for fd in arguments.listen_fds]
        serving = asyncio.create_task(server.serve(listening, control.serve_message.access))
        doors.asked = control.serve_message
        further.on_ready, further.on_gone = doors.open_further, doors.close_further
        await doors.open_main(model)
        for each in further.served:
            await doors.open_further(each)
        trials = EngineTrials()
        commanded.add_done_callback(lambda _: trials.cancel())
        further.try_engines = trials.begin
        if opened.trials is not None and opened.auto is not None:
            trials.begin(model, opened.auto, opened.trials)
        ended_by: list[signal.Signals] = []
        with ending_on_signals(server.stop, ended_by):
            await asyncio.wait((serving, commanded), return_when=asyncio.FIRST_COMPLETED)
            server.stop()
            further.stop_loading()
            await doors.close()
            await serving
        await _end(model, further)
        for number in ended_by:
            signal.raise_signal(number)  # the supervisor says what ended it
    await _end(model, further)
    if commanded.done():
        commanded.result()


async def _end(model: ServedModel, further: FurtherModels) -> None:
    """Answer what is queued, and write the frames that are kept."""
    model.queue.close()
    await further.close()
    await asyncio.to_thread(model.shadow.close)


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
