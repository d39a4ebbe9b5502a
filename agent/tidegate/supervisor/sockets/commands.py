"""What may be asked of a running agent on its own machine: one JSON line in, one out, over a Unix socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from tidegate.supervisor.sockets.local_socket import CONVERSATION_S, serve_local
from tidegate.supervisor.status.socket import StatusError, open_agent
from tidegate.validation_words import in_words

FILE_NAME = "command.sock"
ANSWER_S = 240.0
"""The longest that doing may take: a reload waits for a worker to get ready, which tries engines."""


@dataclass(frozen=True, slots=True)
class ForgetDrift:
    """Give demoted points their place on the ladder back: one, or all (None)."""

    point: str | None = None
    kind: Literal["forget_drift"] = "forget_drift"


@dataclass(frozen=True, slots=True)
class Trust:
    """Pushed policies must be above `version`; `latest_time` judges their expiry. Times are ISO 8601."""

    version: int
    running: str
    latest_time: str
    clock: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the points that are back on the ladder, or why nothing was; `trust` as it is now.

    `changed` says in words what a reload brought into force, `after_restart` names keys that a reload leaves.
    """

    points: tuple[str, ...] = ()
    refused: str = ""
    trust: Trust | None = None
    changed: tuple[str, ...] = ()
    after_restart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShowTrust:
    """Tell which versions of pushed policies are taken, and by which time their expiry is judged."""

    kind: Literal["show_trust"] = "show_trust"


@dataclass(frozen=True, slots=True)
class SetTrusted:
    """Take pushed policies above this version from now on."""

    version: int
    kind: Literal["set_trusted"] = "set_trusted"


@dataclass(frozen=True, slots=True)
class BelieveClock:
    """Judge expiry by the clock as it is now, whatever later time was seen."""

    kind: Literal["believe_clock"] = "believe_clock"


@dataclass(frozen=True, slots=True)
class ReloadConfig:
    """Read agent.yaml and what it names again, and bring it into force; answered when that is done."""

    kind: Literal["reload"] = "reload"


@dataclass(frozen=True, slots=True)
class ClearFootage:
    """Delete all frames that are kept; those that come after it are kept as before."""

    kind: Literal["clear_footage"] = "clear_footage"


@dataclass(frozen=True, slots=True)
class CountFootage:
    """Count the certificates again on the frames that are kept, now."""

    kind: Literal["count_footage"] = "count_footage"


Command = ForgetDrift | ShowTrust | SetTrusted | BelieveClock | ReloadConfig | ClearFootage | CountFootage


@cache
def _command() -> TypeAdapter[Command]:
    # Not at import: few services are ever given one.
    return TypeAdapter(Annotated[Command, Field(discriminator="kind")])


@cache
def _done() -> TypeAdapter[Done]:
    return TypeAdapter(Done)


async def serve_commands(path: Path, do: Callable[[Command], Awaitable[Done]]) -> asyncio.Server:
    """Do what comes in; who may is a matter of the socket's owner and group."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONVERSATION_S):
                line = await reader.readline()
            done = await do(_command().validate_json(line))
        except ValidationError as error:
            done = Done(refused=in_words(error.errors(include_url=False)[0]["msg"]))
        except ValueError:
            done = Done(refused="a command is one line of JSON, shorter than 64 KiB")
        writer.write(json.dumps(asdict(done)).encode() + b"\n")
        await writer.drain()

    return await serve_local(path, answer, ANSWER_S)


async def send(path: Path, command: Command) -> Done:
    """Ask the agent whose state directory holds `path`. Raises StatusError when it does not answer."""
    within_s = ANSWER_S if isinstance(command, ReloadConfig) else CONVERSATION_S
    async with open_agent(path, within_s) as (reader, writer):
        writer.write(json.dumps(asdict(command)).encode() + b"\n")
        answer = await reader.readline()
    try:
        return _done().validate_json(answer)
    except ValidationError:
        raise StatusError(f"{path}: the agent hung up; its log says more") from None
