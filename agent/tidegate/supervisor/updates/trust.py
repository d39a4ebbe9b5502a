"""What the device's owner may ask and set: which versions are taken, and by which time their expiry is judged."""

import asyncio
from collections.abc import Callable

from tidegate.policy.store import PolicyStore, StoreError, WrongStateError
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.sockets.commands import BelieveClock, Done, SetTrusted, ShowTrust, Trust
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.policy_updates import PolicyUpdates


class PolicyTrust:
    """Belongs to the event loop."""

    def __init__(
        self,
        store: PolicyStore,
        latest_time: LatestTime,
        updates: PolicyUpdates,
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._latest_time = latest_time
        self._updates = updates
        self._emit = emit

    async def do(self, command: ShowTrust | SetTrusted | BelieveClock) -> Done:
        """Do what is asked and say how things are after it, or why nothing was done."""
        try:
            match command:
                case SetTrusted(version):
                    await self._set_trusted(version)
                case BelieveClock():
                    await self._believe_clock()
                case ShowTrust():
                    pass
        except (StoreError, WrongStateError, OSError) as error:
            return Done(refused=str(error))
        return Done(trust=self._trust())

    def _trust(self) -> Trust:
        running, times = self._updates.state.running, self._latest_time
        return Trust(
            self._store.trusted_version,
            f"{running.policy.name} version {running.policy.version} ({running.origin})",
            times.now().isoformat(timespec="seconds"),
            times.clock().isoformat(timespec="seconds"),
            times.problem,
        )

    async def _set_trusted(self, version: int) -> None:
        before = self._store.trusted_version
        await self._updates.set_trusted(version)
        text = f"the trusted version was set by hand from {before} to {version}"
        self._emit(Event(EventKind.POLICY, text, {"trusted": version, "before": before}))

    async def _believe_clock(self) -> None:
        await asyncio.to_thread(self._latest_time.believe_clock)
        text = f"expiry is judged by the clock again, set by hand: {self._latest_time.clock().isoformat()}"
        self._emit(Event(EventKind.POLICY, text, {"latest_time": self._latest_time.now().timestamp()}))
