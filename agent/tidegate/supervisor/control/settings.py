"""The device's settings that a policy wants: made while its rule is in force, put back after it and at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from tidegate.supervisor.events.event import Event, EventKind
from tidegate_drivers.controls.control import ControlError
from tidegate_drivers.controls.controls import Controls

NOT_LISTED = "agent.yaml does not list it under `controls`"


class Settings:
    """Follows the latest `want`, in a thread: firmware may take its time, and the control loop has none to give.

    What fails is said and left until the policy wants another value, so that no daemon is fought for a setting.
    """

    def __init__(self, controls: Controls, emit: Callable[[Event], None]) -> None:
        self._controls = controls
        self._emit = emit
        self._wanted: Mapping[str, str] = {}
        self._taken: Mapping[str, str] = {}
        self._noted: set[str] = set()
        self._asked: Mapping[str, str] = {}
        self._failed: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._ending = False

    @property
    def obstacles(self) -> Mapping[str, str]:
        """Of the settings that the policy wants now, those that are not made, with the reason."""
        switched_off = {name: NOT_LISTED for name in self._asked if name not in self._controls.enabled}
        return switched_off | {name: why for name, why in self._failed.items() if name in self._asked}

    def want(self, wanted: Mapping[str, str]) -> None:
        """Have these values and no others; returns at once."""
        self._asked = wanted
        for name in wanted:
            if name not in self._controls.enabled and name not in self._noted:
                self._noted.add(name)
                text = f"{name} is left alone: the policy wants it, {NOT_LISTED}"
                self._emit(Event(EventKind.CONTROL, text, {"control": name, "value": None}))
        allowed = {name: value for name, value in wanted.items() if name in self._controls.enabled}
        if allowed != self._wanted:
            self._wanted = allowed
            self._changed.set()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Put back what a crash left, then follow the policy, and put everything back at the end."""
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self._ending = True
            self._changed.set()
            await following

    async def _follow(self) -> None:
        self._report(await asyncio.to_thread(self._put_back, None, "an earlier run had left it set"))
        while not self._ending:
            await self._changed.wait()
            self._changed.clear()
            if not self._ending:
                wanted, before = self._wanted, self._taken
                self._taken = wanted
                self._report(await asyncio.to_thread(self._apply, wanted, before))
        self._report(await asyncio.to_thread(self._put_back, None, "the agent ends"))

    def _apply(self, wanted: Mapping[str, str], before: Mapping[str, str]) -> list[Event]:
        events = [
            event
            for name in before
            if name not in wanted
            for event in self._put_back(name, "the policy no longer wants it set")
        ]
        return events + [self._set(name, value) for name, value in wanted.items() if before.get(name) != value]

    def _set(self, name: str, value: str) -> Event:
        try:
            self._controls.set(name, value)
        except ControlError as error:
            self._failed[name] = str(error)
            return Event(EventKind.FAULT, str(error), {"control": name, "value": value})
        self._failed.pop(name, None)
        return Event(EventKind.CONTROL, f"{name} is {value}", {"control": name, "value": value})

    def _put_back(self, name: str | None, why: str) -> list[Event]:
        restored = self._controls.restore(name)
        back = [(EventKind.CONTROL, each, f"{each} is as it was: {why}") for each in restored.names]
        failed = [(EventKind.FAULT, name, f"not put back: {failure}") for failure in restored.failures]
        return [Event(kind, text, {"control": each, "value": None}) for kind, each, text in (*back, *failed)]

    def _report(self, events: list[Event]) -> None:
        for event in events:
            self._emit(event)
