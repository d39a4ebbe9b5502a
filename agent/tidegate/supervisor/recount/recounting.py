"""When certificates are counted again on kept frames, and what follows from it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tidegate.engines.runtime.placement import engines_in, placements_in_words
from tidegate.footage import kept
from tidegate.footage.kept import KeptFrame, Queue
from tidegate.messages import ShadowCount
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.own_certificate import OwnCertificate
from tidegate.supervisor.recount.conditions import why_not_now
from tidegate.supervisor.recount.process import Counted, count
from tidegate.supervisor.recount.record import Recounted, read_recounted, write_recounted
from tidegate.supervisor.worker.process import WorkerProcess, WorkerState
from tidegate.telemetry.payloads.reported import Recount, ReportedCertificate

log = logging.getLogger("tidegate")

SETTLED_S = 15.0
"""After the start: engines are tried and the first switch is made by then."""
LOOK_S = 10.0
GUARD_EVERY_S = 86_400.0
"""How often new frames are looked at, whether the world has changed."""
GUARD_CLIPS = 50
"""New ones, at least: fewer are not worth an engine's start."""
AGAIN_S = 3600.0
"""After a count that failed."""

State = Literal["waiting", "holds", "fails", "unknown"]


class Recounting:
    """Belongs to the event loop. Without kept frames nothing is counted, and that is said."""

    def __init__(
        self,
        state_dir: Path,
        cache_dir: Path | None,
        in_force: Callable[[], InForce],
        worker: WorkerProcess,
        control: Control,
        emit: Callable[[Event], None],
        count_kept: Callable[..., Awaitable[Counted]] = count,
    ) -> None:
        self._state_dir = state_dir
        self._cache_dir = cache_dir
        self._in_force = in_force
        self._worker = worker
        self._control = control
        self._emit = emit
        self._count_kept = count_kept
        self._recounted: Recounted | None = None
        self._waiting: Recount | None = None
        self._asked = asyncio.Event()
        self._not_before_s = 0.0
        self._guarded_at_s: float | None = None

    @property
    def report(self) -> ReportedCertificate | None:
        """What became of the certificate that agent.yaml names, with the last count of it here."""
        report = self._in_force().certificate
        if report is None or self._own is None:
            return report
        here = self._here(self._own)
        recount = None if here == report.placement else self._waiting or self._known.recount
        return replace(report, here=here, recount=recount)

    def ask(self) -> str:
        """Count now, whatever the charge; why not, where it can't be."""
        if self._in_force().config.footage is None:
            return "no frames are kept: `footage` in agent.yaml has the agent keep some"
        self._asked.set()
        return ""

    async def run(self) -> None:
        """Look now and then whether there is something to count, until cancelled."""
        await self._worker.wait_ready()
        loop = asyncio.get_running_loop()
        await self._sleep(SETTLED_S)
        while True:
            asked, now_s = self._asked.is_set(), loop.time()
            self._asked.clear()
            try:
                if asked or now_s >= self._not_before_s:
                    await self._look(now_s, asked=asked)
            except Exception:
                log.exception("counting again")
                self._not_before_s = now_s + AGAIN_S
            await self._sleep(LOOK_S)

    async def _sleep(self, seconds: float) -> None:
        """That long, or until somebody asks."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _look(self, now_s: float, *, asked: bool) -> None:
        in_force, own = self._in_force(), self._own
        moved = own is not None and self._moved(own)
        if own is not None and not moved:
            self._give_back("the runtime is the one again that it was counted on")
        to_recount = moved and not self._is_counted(own)
        due = self._guarded_at_s is None or now_s - self._guarded_at_s >= GUARD_EVERY_S
        footage = in_force.config.state_dir / kept.DIRECTORY
        frames: tuple[KeptFrame, ...] = ()
        if in_force.config.footage is not None and (to_recount or asked or due):
            frames = await asyncio.to_thread(kept.kept_frames, footage, Queue.SAMPLE)
        if to_recount and own is not None and not frames:
            self._wait(own, "unknown", "no frames are kept to count on; count again by hand, or set `footage`")
            to_recount = False
        new = sum(frame.at_s > self._known_until_s for frame in frames)
        if not (to_recount or (frames and (asked or (due and new >= GUARD_CLIPS)))):
            return
        reason = None if asked else self._why_not_now()
        if reason is not None:
            if to_recount and own is not None:
                self._wait(own, "waiting", reason)
            return
        if to_recount and own is not None:
            self._wait(own, "waiting", f"{len(frames)} kept clips are answered at every point")
        await self._count(footage, now_s)

    async def _count(self, footage: Path, now_s: float) -> None:
        in_force, own = self._in_force(), self._own
        identity, bundle = self._identity, in_force.bundle
        certificate = None if own is None else own.path
        here = "" if own is None else self._here(own)
        found = await self._count_kept(
            bundle.path, self._worker.spec.engine, self._cache_dir, footage, self._known_until_s, certificate
        )
        if self._identity != identity:
            return  # of a bundle that serves no more
        if found.error:
            self._not_before_s = now_s + AGAIN_S
            if own is not None and self._moved(own):
                self._wait(own, "waiting", f"the count failed, and is tried again: {found.error}")
            else:
                log.warning("kept frames could not be counted: %s", found.error)
            return
        self._guarded_at_s = now_s
        self._guard(found)
        known = replace(self._known, looked_until_s=found.newest_s)
        if own is not None and here != own.statement.placement:
            known = replace(known, recount=self._judged(own, here, found))
        self._recounted, self._waiting = known, None
        await asyncio.to_thread(write_recounted, self._state_dir, known)

    def _judged(self, own: OwnCertificate, here: str, found: Counted) -> Recount:
        """What a count on another runtime says of the certificate; points that it does not show again go."""
        points = {each.name for each in own.statement.points if each.alpha > 0}
        judged = {
            name: point for name, point in found.points.items() if name in points and name not in self._refused
        }
        fails = tuple(name for name, point in judged.items() if point.holds is False)
        open_ones = tuple(name for name, point in judged.items() if point.holds is None)
        state: State = "fails" if fails else "unknown" if open_ones else "holds"
        if fails:
            reason = f"{', '.join(fails)}: not shown again on {found.inputs} kept clips, and off the ladder"
        elif open_ones:
            reason = f"{found.inputs} kept clips are too few to show it of {', '.join(open_ones)}; more are kept"
        else:
            reason = f"all its points are shown again on {found.inputs} kept clips"
        at = datetime.now(UTC).isoformat(timespec="seconds")
        taken_off = tuple(name for name in fails if self._take_off(name, here, found))
        recount = Recount(state, here, reason, at, found.inputs, taken_off)
        self._give_back("it is shown again on this runtime", tuple(name for name in judged if name not in fails))
        text = f"of {own.statement.placement}, counted again on {here}: {state}: {reason}"
        self._emit(Event(EventKind.CERTIFICATE, text, {"recount": asdict(recount)}))
        return recount

    def _take_off(self, name: str, here: str, found: Counted) -> bool:
        """Demote a point; False where the guard has done so, which no count undoes."""
        failures, before = found.points[name].failures, self._known.recount
        because = f"failed on {failures} of {found.inputs} kept clips on {here}: not certified there"
        return self._in_force().drift.demote(name, because) or (before is not None and name in before.taken_off)

    def _guard(self, found: Counted) -> None:
        """Hold the frames that are new against the certificates in force."""
        drift = self._in_force().drift
        for name, point in found.points.items():
            drift.note_kept(ShadowCount(name, found.recent, point.recent_differs))

    def _give_back(self, because: str, points: tuple[str, ...] | None = None) -> None:
        """Points that the last count took off, all or those of these."""
        recount = self._known.recount
        for name in () if recount is None else recount.taken_off:
            if points is None or name in points:
                self._in_force().drift.restore(name, because)
        if points is None and recount is not None:
            self._recounted = replace(self._known, recount=None)
            write_recounted(self._state_dir, self._known)

    def _wait(self, own: OwnCertificate, state: State, reason: str) -> None:
        waiting = Recount(state, self._here(own), reason)
        if self._waiting is None:
            text = f"counted on {own.statement.placement}, here is {waiting.here}: {state}: {reason}"
            self._emit(Event(EventKind.CERTIFICATE, text, {"recount": asdict(waiting)}))
        self._waiting = waiting

    def _why_not_now(self) -> str | None:
        if self._worker.state is not WorkerState.SERVING:
            return f"the worker is {self._worker.state}"
        return why_not_now(self._control.snapshot())

    def _is_counted(self, own: OwnCertificate | None) -> bool:
        """Whether the last count is of this runtime, and said something."""
        recount = self._known.recount
        return (
            own is not None
            and recount is not None
            and recount.here == self._here(own)
            and recount.state != "unknown"
        )

    def _here(self, own: OwnCertificate) -> str:
        """Of the engines that answer now; until a worker has said, of those that were counted on."""
        engines = engines_in(self._worker.engine)
        return placements_in_words(engines or own.statement.engines)

    def _moved(self, own: OwnCertificate) -> bool:
        """Whether something answers here that was not counted on."""
        return not set(self._here(own).split("; ")) <= set(own.statement.placement.split("; "))

    @property
    def _own(self) -> OwnCertificate | None:
        certified = self._in_force().certified
        return None if certified is None else certified.own

    @property
    def _refused(self) -> frozenset[str]:
        return frozenset(self._worker.refused)

    @property
    def _identity(self) -> str:
        in_force = self._in_force()
        return in_force.bundle.sha256 if in_force.certified is None else in_force.certified.identity

    @property
    def _known(self) -> Recounted:
        if self._recounted is None or self._recounted.identity != self._identity:
            self._recounted, self._waiting = read_recounted(self._state_dir, self._identity), None
        return self._recounted

    @property
    def _known_until_s(self) -> int:
        """Frames up to then were looked at, or are those that were counted on."""
        counted_s = 0 if self._own is None else int(self._own.statement.counted_at.timestamp())
        return max(self._known.looked_until_s, counted_s)
