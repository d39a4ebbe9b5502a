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

from tidegate.cli.broker_option import parse_broker
from tidegate.cli.console import err, fit_terminal, out
from tidegate.cli.demo_summary import Saved, simulated_saving, summary_lines
from tidegate.cli.view import render
from tidegate.config import Broker, load_config
from tidegate.demo.run import Demo, EngineName, Summary
from tidegate.paths import profiles_directory
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.status.status import Status, to_json

VIEWS_PER_SECOND = 4
LEAST_LINES = 12
"""What the last status gets even where the summary then moves its first lines off the screen."""


def demo(
    seconds: Annotated[
        float | None, typer.Option(min=5, help="End after this long; without it, Ctrl-C ends.")
    ] = None,
    replay_all: Annotated[
        bool, typer.Option("--replay-all", help="Replay every reading of the day, also those this machine has.")
    ] = False,
    broker: Annotated[str | None, typer.Option(help="HOST:PORT of a broker, instead of starting one.")] = None,
    engine: Annotated[
        EngineName | None, typer.Option(help="What runs the model; onnx where it is installed, else auto.")
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="JSON lines even in a terminal.")] = False,
) -> None:
    """Run the agent in the foreground on the demo profile: a replayed day, real digits, a policy push."""
    view = _view(json_lines)
    with tempfile.TemporaryDirectory(prefix="tidegate-demo-") as directory, view:
        run = Demo(
            load_config(profiles_directory() / "demo.yaml"),
            Path(directory),
            seconds=seconds,
            replay_all=replay_all,
            broker=None if broker is None else _broker_at(broker),
            engine=engine,
            view=view,
        )
        summary = asyncio.run(run.run())
    view.end(summary)


def _view(json_lines: bool) -> "LiveView | PlainView | JsonLines":
    if json_lines or not sys.stdout.isatty():
        return JsonLines()
    return PlainView() if out.is_dumb_terminal else LiveView()


def _broker_at(text: str) -> Broker:
    address = parse_broker(text)
    return Broker(host=address.host, port=address.port)


def _saving() -> Saved | None:
    """None for whoever does not wait for it."""
    err.print("simulating a day of it with and without a ladder ...", style="dim", markup=False)
    try:
        return simulated_saving()
    except KeyboardInterrupt:
        return None


def _print(lines: list[str]) -> None:
    for line in lines:
        out.say(line)


class LiveView:
    """The status drawn over the whole terminal, several times a second; the last one stays when it ends."""

    interval_s = 1 / VIEWS_PER_SECOND

    def __init__(self) -> None:
        # On the terminal's other screen, so that a change of size leaves no rest of an older frame.
        self._live = Live(console=out, screen=True, auto_refresh=False)
        self._notes: list[str] = []
        self._last: Status | None = None

    def __enter__(self) -> "LiveView":
        err.say("tidegate: starting the agent and its broker, a few seconds")
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def status(self, status: Status) -> None:
        """Draw the status."""
        self._last = status
        height = fit_terminal()
        if not self._live.is_started:
            self._live.start()
        self._live.update(render(status, out.width, height, self._notes), refresh=True)

    def event(self, _event: Event) -> None:
        """Nothing: the status holds the recent events."""

    def note(self, text: str) -> None:
        """A line in the view; before there is one, above it."""
        self._notes.append(text)
        if not self._live.is_started:
            err.say(text)

    def end(self, summary: Summary) -> None:
        """The last status, and the summary under it; both fit on the screen where that is possible."""
        self._live.stop()
        lines = summary_lines(summary, _saving(), out.width)
        if self._last is not None:
            height = (fit_terminal() or 0) - len(lines) - 2
            out.print(render(self._last, out.width, max(height, LEAST_LINES), self._notes), end="\n\n")
        _print(lines)


class PlainView:
    """For terminals that can't move their cursor: the status in full, now and then, one under the other."""

    interval_s = 5.0

    def __enter__(self) -> "PlainView":
        err.say("tidegate: starting the agent and its broker, a few seconds")
        return self

    def __exit__(self, *_: object) -> None:
        return

    def status(self, status: Status) -> None:
        """Print the status."""
        height = fit_terminal()
        out.print(render(status, out.width, height and height - 1), end="\n\n")

    def event(self, _event: Event) -> None:
        """Nothing: the status holds the recent events."""

    def note(self, text: str) -> None:
        """A line between two statuses."""
        out.say(text)

    def end(self, summary: Summary) -> None:
        """The summary."""
        _print(summary_lines(summary, _saving(), out.width))


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

    def end(self, summary: Summary) -> None:
        """The summary."""
        sys.stdout.write(json.dumps(asdict(summary)) + "\n")

    def _write(self, document: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(document, separators=(",", ":"), default=str) + "\n")
        sys.stdout.flush()
