"""The worker process: opens the bundle, starts the engine at one operating point, serves on inherited sockets."""

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.registry import UnknownEngine, open_engine
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.messages import LINE_LIMIT_BYTES, FromWorker, Ready, Starting, Unable, encode
from tidegate.models.errors import BundleError
from tidegate.parent import finish_within
from tidegate.service_log import log_to_standard_error
from tidegate.worker.choosing import NoRightAnswer, first_variant, refused_points
from tidegate.worker.connections import Connections
from tidegate.worker.control import ControlChannel
from tidegate.worker.endpoint import Endpoint, ModelCard
from tidegate.worker.expected_bundle import OtherBundle, open_expected
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.open_files import connection_limit, files_in_use, raise_file_limit
from tidegate.worker.protocol import Interface
from tidegate.worker.server import Server
from tidegate.worker.shadow import Shadow

log = logging.getLogger("tidegate.worker")

ORPHAN_ENDS_S = 5.0
"""For what was asked before the supervisor was gone."""
REASON_LETTERS = 2000


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
    control_fd: int
    crash_fd: int | None
    listen_fds: tuple[int, ...]


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
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--crash-fd", type=int)
    parser.add_argument("--listen-fd", type=int, action="append", required=True)
    parsed = parser.parse_args()
    return Arguments(
        bundle=parsed.bundle,
        bundle_sha256=parsed.bundle_sha256,
        point=parsed.point,
        engine=parsed.engine,
        cache=parsed.cache,
        keep_bytes=parsed.keep_bytes,
        spin=parsed.spin,
        control_fd=parsed.control_fd,
        crash_fd=parsed.crash_fd,
        listen_fds=tuple(parsed.listen_fd),
    )


async def serve(arguments: Arguments, each_second: Callable[[], None]) -> None:
    """Be ready, serve when the supervisor lets requests in, until it says stop or is gone."""
    try:
        _tell(arguments.control_fd, Starting("it opens the bundle"))
        bundle = open_expected(arguments.bundle, arguments.bundle_sha256)
        _tell(arguments.control_fd, Starting(f"it opens engine {arguments.engine}"))
        opened = open_engine(arguments.engine, bundle, arguments.cache, arguments.spin)
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
    queue = InferenceQueue(variant)
    shadow = Shadow(engine, bundle.ladder.full, bundle.calibration.comparison, queue)
    endpoint = Endpoint(
        ModelCard(
            name=bundle.model,
            interface=Interface(bundle.input.name, bundle.input.shape, bundle.input.scale, "logits"),
            output_shape=(len(bundle.labels),),
        ),
        queue,
        shadow,
    )
    connections = Connections(connection_limit(raise_file_limit(), files_in_use()))
    server = Server(endpoint.app, connections, each_second)
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
        canaries=canaries,
        takes_connections=lambda: server.takes_connections,
    )
    finish_within(ORPHAN_ENDS_S)
    writer.write(encode(Ready(os.getpid(), variant.point.name, engine.name, refused, bundle.sha256)))
    await writer.drain()
    commanded = asyncio.create_task(control.serve())
    let_in = asyncio.create_task(control.may_serve.wait())
    await asyncio.wait((let_in, commanded), return_when=asyncio.FIRST_COMPLETED)
    if control.may_serve.is_set():
        listening = [socket.socket(fileno=fd) for fd in arguments.listen_fds]
        serving = asyncio.create_task(server.serve(listening))
        await asyncio.wait((serving, commanded), return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
    queue.close()
    if commanded.done():
        commanded.result()


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
