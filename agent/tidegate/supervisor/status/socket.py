"""The Unix socket that hands the agent's status out to `tidegate status`, and how it is asked."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.supervisor.sockets.local_socket import CONVERSATION_S, serve_local
from tidegate.supervisor.status.status import Status, to_json

FILE_NAME = "status.sock"


@cache
def _status() -> TypeAdapter[Status]:
    # Not at import: the service hands its status out and never reads one.
    return TypeAdapter(Status)


class StatusError(TidegateError):
    """The agent's status can't be had; the message says what to do."""

    exit_code = EX_UNAVAILABLE


async def serve_status(
    path: Path, status: Callable[[], Status], refresh: Callable[[], Awaitable[None]]
) -> asyncio.Server:
    """Hand the status out, one JSON document per connection; `refresh` is awaited before each."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await refresh()
        writer.write(to_json(status()).encode() + b"\n")
        await writer.drain()

    return await serve_local(path, answer)


async def fetch_status(path: Path) -> Status:
    """The status of the agent whose state directory holds `path`. Raises StatusError."""
    async with open_agent(path) as (reader, _):
        document = await reader.read()
    try:
        return _status().validate_json(document)
    except ValidationError:
        raise StatusError(f"{path}: the agent hung up; its log says more") from None


@asynccontextmanager
async def open_agent(
    path: Path, within_s: float = CONVERSATION_S
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to one of a running agent's sockets, for so long. Raises StatusError."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(path)
            yield reader, writer
            writer.close()
    except FileNotFoundError:
        raise StatusError(f"{path}: no agent is running here; start one with `tidegate run`") from None
    except ConnectionRefusedError:
        raise StatusError(f"{path}: the agent that was here is gone; start it with `tidegate run`") from None
    except PermissionError:
        raise StatusError(f"{path}: not allowed; run as the agent's user or group") from None
    except TimeoutError:
        raise StatusError(f"{path}: the agent does not answer; its log says more") from None
    except OSError as error:
        # It hung up while it ends or starts over, or so many ask that the kernel takes no more.
        raise StatusError(f"{path}: the agent can't be asked just now: {error.strerror}; try again") from None
