"""What may be asked of a running agent on its own machine: one JSON line in, one out, over a Unix socket."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agent.durable_file import clear_way_for_socket
from agent.supervisor.status import StatusError, open_agent

FILE_NAME = "command.sock"


@dataclass(frozen=True, slots=True)
class ForgetDrift:
    """Give demoted points their place on the ladder back: one, or all (None)."""

    point: str | None = None
    kind: Literal["forget_drift"] = "forget_drift"


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the points that are back on the ladder, or why nothing was."""

    points: tuple[str, ...] = ()
    refused: str = ""


_command = TypeAdapter(ForgetDrift)
_done = TypeAdapter(Done)


async def serve_commands(path: Path, forget: Callable[[str | None], tuple[str, ...]]) -> asyncio.Server:
    """Do what comes in; who may is a matter of the socket's owner and group."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError, ValueError):
            async with asyncio.timeout(5):
                line = await reader.readline()
            try:
                done = Done(forget(_command.validate_json(line).point))
            except ValidationError as error:
                done = Done(refused=error.errors(include_url=False)[0]["msg"])
            writer.write(json.dumps(asdict(done)).encode() + b"\n")
            await writer.drain()
        writer.close()

    await asyncio.to_thread(clear_way_for_socket, path)
    server = await asyncio.start_unix_server(answer, path)
    await asyncio.to_thread(path.chmod, 0o660)
    return server


async def send(path: Path, command: ForgetDrift) -> Done:
    """Ask the agent whose state directory holds `path`. Raises StatusError when it does not answer."""
    async with open_agent(path) as (reader, writer):
        writer.write(json.dumps(asdict(command)).encode() + b"\n")
        answer = await reader.readline()
    try:
        return _done.validate_json(answer)
    except ValidationError:
        raise StatusError(f"{path}: the agent hung up; its log says more") from None
