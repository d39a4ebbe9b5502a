"""The control loop: waits for a worker that answers rightly, says READY, then steps for ever."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from tidegate.policy.brown_out import Losses
from tidegate.supervisor.control.cadence import Cadence
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.last_run import RunRecord
from tidegate.supervisor.control.settings import Settings
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.journal import Journal
from tidegate.supervisor.models.following import Following
from tidegate.supervisor.sd_notify import notify
from tidegate.supervisor.status.reporter import Reporter
from tidegate.supervisor.system_sleep import SystemSleep
from tidegate.supervisor.updates.policy_updates import PolicyUpdates
from tidegate.supervisor.watchdog import Watchdog
from tidegate.supervisor.worker.process import WorkerProcess, WorkerState

log = logging.getLogger("tidegate")

EXTEND_EVERY_S = 5.0
"""How often systemd is asked for patience while the first worker starts: engines are tried, weights packed."""
FIRST_READINGS_S = 1.0
"""Given to the drivers before the first decision, so that it isn't made blind."""
_TOLD_IN_REPORT = frozenset({EventKind.POLICY, EventKind.BUNDLE, EventKind.CONFIG})
"""Kinds of events by which pushes end: the report that is retained for their pushers has changed."""


class ControlLoop:
    """Steps the control, and sees to what follows from a decision: settings, the point on disk, the report."""

    def __init__(
        self,
        *,
        control: Control,
        worker: WorkerProcess,
        updates: PolicyUpdates,
        settings: Settings,
        journal: Journal,
        reporter: Reporter,
        watchdog: Watchdog,
        run_record: RunRecord,
        keep_losses: Callable[[Mapping[str, Losses]], None],
        system_sleep: SystemSleep,
        following: Following,
    ) -> None:
        self.ready = False
        """Whether systemd has been told so."""
        self._control = control
        self._worker = worker
        self._updates = updates
        self._settings = settings
        self._journal = journal
        self._reporter = reporter
        self._watchdog = watchdog
        self._run_record = run_record
        self._keep_losses = keep_losses
        self._system_sleep = system_sleep
        self._following = following
        self._losses: Mapping[str, Losses] = control.guard.losses
        self._loop = asyncio.get_running_loop()
        self._cadence = Cadence()
        control.on_request = self._cadence.hurry

    @property
    def latest_s(self) -> float | None:
        """By how much a step of the last minute began late at most; None before the second one."""
        return self._cadence.latest_s

    def reading_changed(self, name: str) -> None:
        """Decide soon if the policy asks for this reading, or for all of its kind. May be called on any thread."""
        if self._control.policy.asks_for(name):
            self._cadence.hurry()

    def pushed(self) -> None:
        """Report soon what became of a push, for which its pusher waits. May be called on any thread."""
        self._cadence.hurry()

    def happened(self, event: Event) -> None:
        """Report soon where an event is the end of a trial."""
        if event.kind in _TOLD_IN_REPORT:
            self._cadence.hurry()

    async def run(self, model: str, addresses: Callable[[], str]) -> None:
        """Run until cancelled; the log is told which model answers, and `addresses` says where, in words."""
        await asyncio.gather(asyncio.sleep(FIRST_READINGS_S), self._wait_worker())
        self.ready = notify(READY=1)
        await self._updates.check_running()
        policy = self._updates.state.running.policy
        log.info(
            "ready: %s at %s by policy %s version %d; %s",
            model,
            self._worker.point,
            policy.name,
            policy.version,
            addresses(),
        )
        while True:
            await self._step()
            asleep = self._worker.state is WorkerState.ASLEEP
            self._system_sleep.consider(self._control.sleeping if asleep else None)
            await self._cadence.next(waiting=self._control.waiting or self._following.waiting)

    async def _wait_worker(self) -> None:
        """Return once a worker has answered the canaries; until then systemd hears what the first one does."""
        ready = asyncio.ensure_future(self._worker.wait_ready())
        while not ready.done():
            # Later ones have no more time than the unit gives them: a service that can't start has to fail.
            if self._worker.restarts == 0:
                doing = f"the worker starts: {self._worker.doing}"
                notify(EXTEND_TIMEOUT_USEC=int(3 * EXTEND_EVERY_S * 1e6), STATUS=doing)
            await asyncio.wait({ready}, timeout=EXTEND_EVERY_S)

    async def _step(self) -> None:
        self._system_sleep.notice()
        self._watchdog.step_begins()
        await self._control.step()
        self._following.step()
        if self._control.decision is not None:
            self._settings.want(self._control.decision.controls)
        self._remember()
        self._journal.tell_folded()
        self._reporter.report()
        self._watchdog.step_done(f"{self._worker.point}, worker {self._worker.state}")

    def _remember(self) -> None:
        """Written when it changes, and by another thread: nothing here waits for a disk."""
        guard = self._control.guard
        if self._run_record.news(self._worker.point, guard.supply):
            self._loop.run_in_executor(None, self._run_record.write)
        if guard.losses != self._losses:
            self._losses = guard.losses
            self._loop.run_in_executor(None, self._keep_losses, guard.losses)
