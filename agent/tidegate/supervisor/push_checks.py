"""What is looked at before a push changes anything: whom it is from and for, its time, its text."""

import asyncio

from tidegate.documents import DocumentError
from tidegate.policy.policy import Policy
from tidegate.supervisor.latest_time import LatestTime
from tidegate.supervisor.pushed_policy import Reader, VersionError
from tidegate.telemetry.envelope import PolicyPush


class PushChecks:
    """Each check gives the reason to refuse, in words. Belongs to the event loop."""

    def __init__(self, reader: Reader, latest_time: LatestTime, *, allow_unsigned: bool) -> None:
        self._reader = reader
        self._latest_time = latest_time
        self._allow_unsigned = allow_unsigned
        self._reading: tuple[tuple[str, int], asyncio.Future[Policy | str]] | None = None

    def untrusted(self, push: PolicyPush, topic: str) -> str | None:
        """Why the push is not to be trusted, None when it is."""
        if not push.signed and not self._allow_unsigned:
            return "it is not signed; set `allow_unsigned: true` in agent.yaml to trust whoever may publish there"
        if push.target.topic != topic:
            return f"it is addressed to {push.target.topic} and came on {topic}"
        return None

    def expired(self, push: PolicyPush) -> str | None:
        """That its time is over by the latest time known here, None when it is not."""
        if push.expires is None or push.expires >= self._latest_time.now():
            return None
        problem = self._latest_time.problem
        because = f" ({problem})" if problem else ""
        return f"it expired at {push.expires.isoformat()}{because}; push it again with a later expiry"

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
