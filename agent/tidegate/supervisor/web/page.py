"""The status page: its files, the agent's state as it changes, the last hours, and what if."""

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from importlib.resources import files

from tidegate.policy.what_if import WhatIf
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.status import Status
from tidegate.supervisor.web.history import EVERY_S, History, Row
from tidegate.supervisor.web.message import EVENTS, JSON, Answer, Request, said
from tidegate.telemetry.payloads.reported import PastVerdict
from tidegate_drivers.reading import BATTERY, POWER_SOURCE, POWER_SOURCES, TEMPERATURE, Value

TICK_S = 2.0
"""How often the page is told what is new, while somebody looks."""
WHAT_IF_EVERY_S = 0.2
WHAT_IF_SHARE = 0.2
"""Of the time, at most: a question costs hundreds of decisions, and the loop that decides waits for it."""

_HTML, _CSS, _SCRIPT = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "javascript"))
_STATIC = files("tidegate.supervisor.web") / "static"
_FILES = {
    "/": (_STATIC / "index.html", _HTML),
    "/style.css": (files("tidegate.drawing") / "style.css", _CSS),
    "/page.css": (_STATIC / "page.css", _CSS),
    "/page.js": (_STATIC / "page.js", _SCRIPT),
    "/charts.js": (_STATIC / "charts.js", _SCRIPT),
    "/uPlot.js": (_STATIC / "uPlot.iife.min.js", _SCRIPT),
    "/uPlot.css": (_STATIC / "uPlot.min.css", _CSS),
    "/icon.svg": (_STATIC / "icon.svg", "image/svg+xml"),
}
_LIMITS: Mapping[str, tuple[float, float]] = {BATTERY: (0.0, 100.0), TEMPERATURE: (-40.0, 150.0)}


class StatusPage:
    """Belongs to the event loop; the state is put together while somebody looks, else only `history` is kept."""

    def __init__(
        self,
        state: Callable[[], AgentState],
        status: Callable[[], Status],
        totals: Callable[[], ServedTotals],
        what_if: Callable[[Mapping[str, Value]], WhatIf],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.history = History()
        self._state = state
        self._status = status
        self._totals = totals
        self._what_if = what_if
        self._clock = clock
        self._told = b""
        self._told_at = self._may_ask_at = -math.inf
        self._rows: bytes | None = None

    def note(self) -> None:
        """Keep what the page draws of this moment; call it once per telemetry window."""
        now = self._clock()
        if self.history.due(now):
            self.history.note(self._state(), self._totals(), now)
            self._rows = None

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request for something of the page; None for anything else."""
        if request.path in _FILES:
            file, kind = _FILES[request.path]
            return Answer(kind, file.read_bytes())
        match request.path:
            case "/history":
                return Answer(JSON, self._kept())
            case "/status":
                return Answer(JSON, self._document())
            case "/events":
                return Answer(EVENTS, self._events())
            case "/what-if":
                return self._answer_what_if(request.query)
        return None

    async def _events(self) -> AsyncGenerator[bytes, None]:
        yield b"retry: 1000\n\n"
        while True:
            yield b"data: " + self._document() + b"\n\n"
            await asyncio.sleep(TICK_S)

    def _kept(self) -> bytes:
        """The rows as JSON, made once for each new one: they are twenty thousand numbers."""
        if self._rows is None:
            self._rows = json.dumps({"every_s": EVERY_S, **self.history.columns()}).encode()
        return self._rows

    def _document(self) -> bytes:
        """The state as JSON; the same for all who look at about the same time."""
        now = self._clock()
        if now - self._told_at >= TICK_S / 2:
            self._told, self._told_at = self._described(), now
        return self._told

    def _described(self) -> bytes:
        state = self._state()
        document = {
            **asdict(self._status()),
            "now": asdict(Row.of(state, self.history.energy_mj)),
            "verdicts": [
                *_verdicts("policy", state.updates.verdicts),
                *_verdicts("bundle", state.bundles.verdicts),
            ],
        }
        return json.dumps(document, separators=(",", ":"), default=str).encode()

    def _answer_what_if(self, query: Mapping[str, str]) -> Answer:
        now = self._clock()
        if now < self._may_ask_at:
            text = "too many questions at once; ask again in a moment"
            return said(HTTPStatus.TOO_MANY_REQUESTS, text, Retry_After="1")
        try:
            values = _imagined(query)
        except ValueError as error:
            return said(HTTPStatus.BAD_REQUEST, str(error))
        answer = json.dumps(asdict(self._what_if(values))).encode()
        done = self._clock()
        self._may_ask_at = done + max(WHAT_IF_EVERY_S, (done - now) * (1 / WHAT_IF_SHARE - 1))
        return Answer(JSON, answer)


def _imagined(query: Mapping[str, str]) -> dict[str, Value]:
    """The readings that a question names. Raises ValueError that says what is allowed."""
    values: dict[str, Value] = {}
    for name, text in query.items():
        if name == POWER_SOURCE and text in POWER_SOURCES:
            values[name] = text
        elif name in _LIMITS:
            least, most = _LIMITS[name]
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not least <= value <= most:
                raise ValueError(f"{name}={text[:40]!r}: allowed is a number from {least:g} to {most:g}")
            values[name] = value
        else:
            allowed = f"battery and temperature as numbers, power_source as {' or '.join(POWER_SOURCES)}"
            raise ValueError(f"{name[:40]!r}={text[:40]!r}: allowed are {allowed}")
    return values


def _verdicts(what: str, verdicts: tuple[PastVerdict, ...]) -> list[dict[str, object]]:
    return [{"what": what, **asdict(each)} for each in verdicts]
