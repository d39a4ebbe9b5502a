"""`tidegate demo`: the whole agent on a replayed day, with a broker, a client that asks, and a policy push."""

import asyncio
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from agent.cli.broker_option import parse_broker
from agent.cli.console import EX_CONFIG, EX_UNAVAILABLE, fail, out
from agent.cli.view import render
from agent.config import Broker, load_config
from agent.demo.run import Demo, DemoError
from agent.documents import DocumentError
from agent.paths import profiles_directory
from agent.supervisor.events import Event
from agent.supervisor.main import StartError
from agent.supervisor.status import Status, to_json

VIEWS_PER_SECOND = 4


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=5, help="End after this long; without it, Ctrl-C ends.")
    ] = None,
    replay_all: Annotated[
        bool, typer.Option("--replay-all", help="Replay every reading of the day, also those this machine has.")
    ] = False,
    broker: Annotated[str | None, typer.Option(help="HOST:PORT of a broker, instead of starting one.")] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="JSON lines even in a terminal.")] = False,
) -> None:
    """Run the agent in the foreground on the demo profile: a replayed day, real digits, a policy push."""
    view = JsonLines() if json_lines or not sys.stdout.isatty() else LiveView()
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as directory, view:
        try:
            run = Demo(
                load_config(profiles_directory() / "demo.yaml"),
                Path(directory),
                seconds=seconds,
                replay_all=replay_all,
                broker=None if broker is None else _named(broker),
                view=view,
            )
            summary = asyncio.run(run.run())
        except DocumentError as error:
            fail(str(error), EX_CONFIG)
        except (StartError, DemoError) as error:
            fail(str(error), EX_UNAVAILABLE)
    sys.stdout.write(json.dumps(asdict(summary)) + "\n")


def _named(text: str) -> Broker:
    address = parse_broker(text)
    return Broker(host=address.host, port=address.port)


class LiveView:
    """The status drawn in place, several times a second."""

    interval_s = 1 / VIEWS_PER_SECOND

    def __init__(self) -> None:
        self._live = Live(console=out, auto_refresh=False, transient=False)

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def status(self, status: Status) -> None:
        """Draw the status."""
        self._live.update(render(status, out.width), refresh=True)

    def event(self, _event: Event) -> None:
        """Nothing: the status holds the recent events."""

    def note(self, text: str) -> None:
        """A line above the view."""
        self._live.console.print(text, markup=False)


class JsonLines:
    """One JSON object a line: every event at once, the whole status now and then."""

    interval_s = 5.0

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def status(self, status: Status) -> None:
        """A status line."""
        self._write({"type": "status", **json.loads(to_json(status))})

    def event(self, event: Event) -> None:
        """An event line."""
        self._write({"type": "event", **event.document()})

    def note(self, text: str) -> None:
        """A line for the reader."""
        self._write({"type": "note", "text": text})

    def _write(self, document: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(document, separators=(",", ":"), default=str) + "\n")
        sys.stdout.flush()
