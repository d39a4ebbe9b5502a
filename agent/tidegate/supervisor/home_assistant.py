"""Announces this device to Home Assistant, and does what may be asked there: hold an operating point."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.home_assistant_file import Announced, HomeAssistantFile
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.payloads.document import to_json
from tidegate.telemetry.payloads.home_assistant import (
    FOLLOW,
    STATUS,
    discovery,
    discovery_topic,
    lasting,
    taking_back,
)
from tidegate.telemetry.topics import DeviceTopics
from tidegate_drivers.reading import ENERGY

log = logging.getLogger("tidegate")

HERE = b"here"
"""Holds the point that is in force."""
AGAIN_WITHIN_S = 10.0
"""After Home Assistant's start all devices announce themselves anew, each at a moment of its own in this time."""
FIRST_READINGS_S = 3.0
LOOK_S = 10.0
"""How often it is looked whether there are other readings, points or models to announce."""
STAYS_S = 30.0
"""How long the broker keeps what takes components back: Home Assistant connects again within 10 s of an outage."""
_LONGEST_BYTES = 200


class HomeAssistant:
    """Belongs to the event loop; a file in the state directory says which device was announced, with what.

    Where it is turned off, an earlier announcement is cleared; components that are no longer there are taken back.
    With `may_hold`, holds are taken from whoever may publish at the broker. `models` gives those of agent.yaml
    beside the main one, `again` sends a telemetry window.
    """

    def __init__(
        self,
        state_dir: Path,
        link: BrokerLink,
        control: Control,
        state: Callable[[], AgentState],
        emit: Callable[[Event], None],
        *,
        enabled: bool,
        may_hold: bool,
        models: Callable[[], Sequence[str]],
        again: Callable[[], Awaitable[None]],
        random: Random | None = None,
        counts: Heard | None = None,
    ) -> None:
        self._file = HomeAssistantFile(state_dir)
        self._link = link
        self._control = control
        self._state = state
        self._emit = emit
        self._counts = counts or Heard()
        self._enabled = enabled
        self._may_hold = may_hold
        self._models = models
        self._again = again
        self._random = random or Random()  # noqa: S311 - it spreads devices and guards nothing
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._wanted: tuple[bytes, bool] | None = None
        self._readings: set[str] = set()
        self._said: bytes = b""
        self._connection = -1
        self._there_since_s: float | None = None
        self._telling: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._kept = self._file.read()
        self._leaving = None if self._kept is None else self._kept.device
        self._components: Mapping[str, str] = {} if self._kept is None else self._kept.components

    def listen(self, device: str) -> None:
        """Hear Home Assistant's start and, where that is allowed, holds; before the link is made."""
        if self._enabled:
            self._link.hear(STATUS, self._on_status)
        if self._may_hold:
            self._link.hear(DeviceTopics(device).hold, self._on_hold)

    async def run(self) -> None:
        """Announce what is new and clear what holds no longer, until cancelled or there is nothing to do."""
        await asyncio.sleep(FIRST_READINGS_S)
        while self._enabled or self._leaving is not None:
            await self.step()
            await asyncio.sleep(LOOK_S)

    async def step(self) -> None:
        """Announce what is new; clear what is announced no longer."""
        async with self._one_at_a_time:
            if self._link.state is None:
                return
            if self._enabled:
                await self._announce()
            await self._clear()

    async def _announce(self) -> None:
        state = self._state()
        self._readings |= {name for name, reading in state.snapshot.readings.items() if reading.value is not None}
        if state.snapshot.number(ENERGY) is None:
            self._readings.discard(ENERGY)
        points = self._control.may_hold if self._may_hold else ()
        config = discovery(state.device, state.version, state.model, self._readings, points, self._models())
        if self._kept is not None and self._kept.device != state.device:
            self._components = {}  # of the former name, which is cleared as a whole
        topic, components = discovery_topic(state.device), lasting(config)
        forgetting = taking_back(config, self._components)
        if forgetting is not None and not self._was_there(topic, to_json(forgetting)):
            config, components = forgetting, {**components, **self._components}
        said, connection = to_json(config), self._link.connection
        if (said, connection) == (self._said, self._connection):
            return
        announced = Announced(state.device, components)
        if announced != self._kept:
            # First: what Home Assistant knows and no file does could never be taken back.
            await asyncio.to_thread(self._keep, announced)
        self._components = components
        self._said, self._connection = said, connection
        self._link.retain(topic, said)
        if self._leaving == state.device:
            self._leaving = None

    def _was_there(self, topic: str, config: bytes) -> bool:
        """Whether the broker has had this config long enough for who listens there."""
        said = (self._said, self._connection) == (config, self._link.connection)
        if not said or not self._link.delivered(topic):
            self._there_since_s = None
            return False
        if self._there_since_s is None:
            self._there_since_s = self._loop.time()
        return self._loop.time() - self._there_since_s >= STAYS_S

    def _keep(self, announced: Announced) -> None:
        try:
            self._file.write(announced)
            self._kept = announced
        except OSError as error:
            log.warning("%s: %s; Home Assistant would keep what is taken away later", self._file.path, error)

    def _forget(self) -> None:
        try:
            self._file.remove()
        except OSError as error:
            log.warning("%s: %s; it is cleared again at the next start", self._file.path, error)

    async def _clear(self) -> None:
        """Take an announcement back that holds no longer: of another name, or since this was turned off."""
        if self._leaving is None:
            return
        topic = discovery_topic(self._leaving)
        if self._link.delivered(topic):
            if not self._enabled:
                await asyncio.to_thread(self._forget)
            self._leaving = None
        else:
            self._link.retain(topic, b"")

    # On the link's thread

    def _on_status(self, payload: bytes, _retained: bool) -> None:
        self._counts.note("home assistant", "taken" if payload == b"online" else "refused")
        if payload == b"online":
            self._loop.call_soon_threadsafe(self._schedule)

    def _on_hold(self, payload: bytes, retained: bool) -> None:
        with self._lock:
            waits = self._wanted is not None
            if waits:
                self._counts.note("hold", "overtaken")
            self._wanted = payload[:_LONGEST_BYTES], retained
        if not waits:
            # Of a flood the last one counts, at most one at a time is on the loop.
            self._loop.call_soon_threadsafe(self._hold)

    # On the event loop

    def _schedule(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = self._loop.create_task(self._tell_again(self._random.uniform(0.0, AGAIN_WITHIN_S)))

    async def _tell_again(self, pause_s: float) -> None:
        """Status and report are retained and reach it by themselves; windows are not."""
        await asyncio.sleep(pause_s)
        self._connection = -1
        await self.step()
        await self._again()

    def _hold(self) -> None:
        with self._lock:
            found, self._wanted = self._wanted, None
        if found is None:
            return
        payload, retained = found
        wanted = payload.decode(errors="replace")
        if retained:
            refused = "a hold that the broker had kept is not taken: nobody knows how old it is"
        elif payload == HERE:
            refused = self._control.hold(self._control.point)
        else:
            refused = self._control.hold(None if wanted == FOLLOW else wanted)
        self._counts.note("hold", "refused" if refused else "taken")
        if refused:
            self._emit(Event(EventKind.FAULT, f"hold: {refused}", {"part": "hold"}, source="hold"))
