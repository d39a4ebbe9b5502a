"""The worker process: opens the bundle, starts the engine at one operating point, serves on inherited sockets."""

import argparse
import asyncio
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from agent.engines.catalog import open_engine
from agent.engines.memory import keep_one_heap
from agent.engines.resident import ResidentEngine
from agent.messages import LINE_LIMIT_BYTES, Ready, encode
from agent.models.bundle import open_bundle
from agent.worker.choosing import first_point, refused_points
from agent.worker.control import ControlChannel
from agent.worker.endpoint import Endpoint, ModelCard
from agent.worker.lane import Lane
from agent.worker.shadow import Shadow

log = logging.getLogger("agent.worker")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the supervisor says on the command line."""

    bundle: Path
    point: str
    engine: str
    cache: Path | None
    keep_bytes: int
    spin: bool
    control_fd: int
    listen_fds: tuple[int, ...]


def parse_arguments() -> Arguments:
    """The command line; it is the supervisor's, not a user's."""
    parser = argparse.ArgumentParser(prog="tidegate-worker")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--point", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--keep-bytes", type=int, default=0)
    parser.add_argument("--spin", action="store_true")
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--listen-fd", type=int, action="append", required=True)
    parsed = parser.parse_args()
    return Arguments(
        bundle=parsed.bundle,
        point=parsed.point,
        engine=parsed.engine,
        cache=parsed.cache,
        keep_bytes=parsed.keep_bytes,
        spin=parsed.spin,
        control_fd=parsed.control_fd,
        listen_fds=tuple(parsed.listen_fd),
    )


async def serve(arguments: Arguments) -> None:
    """Serve until the supervisor says stop or is gone."""
    bundle = open_bundle(arguments.bundle)
    opened = open_engine(arguments.engine, bundle, arguments.cache, arguments.spin)
    engine = ResidentEngine(opened, arguments.keep_bytes)
    refused = refused_points(engine, bundle.ladder)
    variant = engine.prepare(first_point(bundle.ladder, arguments.point, refused))
    lane = Lane(variant)
    shadow = Shadow(engine, bundle.ladder.full, bundle.calibration.comparison, lane)
    endpoint = Endpoint(
        ModelCard(
            name=bundle.model,
            input_name=bundle.input.name,
            input_shape=bundle.input.shape,
            input_scale=bundle.input.scale,
            output_name="logits",
            output_shape=(len(bundle.labels),),
        ),
        lane,
        shadow,
    )
    channel = socket.socket(fileno=arguments.control_fd)
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=LINE_LIMIT_BYTES)
    control = ControlChannel(
        reader, writer, bundle=bundle, engine=engine, lane=lane, endpoint=endpoint, shadow=shadow
    )
    server = uvicorn.Server(
        uvicorn.Config(
            endpoint.app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=3,
        )
    )
    serving = asyncio.create_task(server.serve([socket.socket(fileno=fd) for fd in arguments.listen_fds]))
    writer.write(encode(Ready(os.getpid(), variant.point.name, engine.name, refused)))
    await writer.drain()
    commanded = asyncio.create_task(control.serve())
    await asyncio.wait((serving, commanded), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    lane.close()
    if commanded.done():
        commanded.result()


def main() -> None:
    """Entry point of `python -m agent.worker`."""
    logging.basicConfig(format="%(asctime)s worker %(levelname)s %(message)s", level=logging.INFO)
    keep_one_heap()
    asyncio.run(serve(parse_arguments()))


if __name__ == "__main__":
    main()
