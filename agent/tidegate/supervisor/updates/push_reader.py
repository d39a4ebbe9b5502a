"""Reads the text of a push in a thread, once, however often the broker hands it over meanwhile."""

import asyncio

from tidegate.documents import DocumentError
from tidegate.policy.policy import Policy
from tidegate.supervisor.updates.pushed_policy import Reader, VersionError
from tidegate.telemetry.payloads.envelope import PolicyPush


class PushReader:
    """Belongs to the event loop."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._reading: tuple[tuple[str, int], asyncio.Future[Policy | str]] | None = None

    async def read(self, push: PolicyPush) -> Policy | str:
        """The policy of a push, or what is wrong with it. Where that takes longer than MQTT waits, it goes on."""
        key = push.hash, push.version
        if self._reading is None or self._reading[0] != key:
            self._reading = key, asyncio.ensure_future(asyncio.to_thread(self._read, push))
        reading = self._reading[1]
        try:
            return await asyncio.shield(reading)
        finally:
            if reading.done():
                self._reading = None

    def _read(self, push: PolicyPush) -> Policy | str:
        try:
            return self._reader.pushed(push.policy, f"pushed policy version {push.version}", push.version)
        except (DocumentError, VersionError) as error:
            return str(error)
