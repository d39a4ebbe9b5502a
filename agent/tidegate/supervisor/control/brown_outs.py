"""What the guard against brown-outs remembers of one bundle's points, on disk, and what a start makes of it."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file, set_aside
from tidegate.models.ladder import Ladder
from tidegate.policy.brown_out import LOSSES, Guard, Losses, after_loss, put_off
from tidegate.policy.choice import allowed
from tidegate.policy.policy import Policy
from tidegate.supervisor.control.last_run import End, LastRun, end_of, point_of
from tidegate.supervisor.events.event import Event, EventKind

log = logging.getLogger(__name__)

FILE_NAME = "brown_outs.json"


@dataclass(frozen=True, slots=True)
class _State:
    """Another bundle's points draw something else: what is held against these is void there."""

    bundle: str
    losses: Mapping[str, Losses] = field(default_factory=dict)
    format: Literal[1] = 1


@cache
def _state() -> TypeAdapter[_State]:
    return TypeAdapter(_State)


class BrownOutRecord:
    """The losses at each point; from any thread. A disk that refuses costs the memory, never the service."""

    def __init__(self, state_dir: Path) -> None:
        self.damage = ""
        """What was wrong with the file that was found; empty when nothing was."""
        self._file = state_dir / FILE_NAME
        self._lock = threading.Lock()
        self._kept = self._read()

    def of(self, bundle: str) -> Mapping[str, Losses]:
        """What is held against the points of a bundle."""
        return self._kept.losses if self._kept.bundle == bundle else {}

    def keep(self, bundle: str, losses: Mapping[str, Losses]) -> None:
        """Write it down where counts have changed."""
        with self._lock:
            before, self._kept = self._kept, _State(bundle, losses)
            if before.bundle == bundle and _counts(before.losses) == _counts(losses):
                return
            if not losses and not before.losses:
                return
            try:
                replace_file(self._file, json.dumps(asdict(self._kept)) + "\n")
            except OSError as error:
                log.warning("%s: can't be written: %s; losses end with this run", self._file, error.strerror)

    def _read(self) -> _State:
        try:
            state = _state().validate_json(read_file(self._file))
            if all(isfinite(each.ran_s) for each in state.losses.values()):
                return state
            why = self._aside()
        except FileNotFoundError:
            return _State("")
        except OSError as error:
            why = str(error.strerror)
        except ValidationError:
            why = self._aside()
        self.damage = f"{self._file}: {why}; losses of power that it held against points are forgotten"
        return _State("")

    def _aside(self) -> str:
        try:
            return f"damaged; it is kept as {set_aside(self._file).name}"
        except OSError as error:
            return f"damaged, and can't be moved aside: {error.strerror}"


def guard_at_start(record: BrownOutRecord, bundle: str, run: LastRun | None, boot: str | None) -> Guard:
    """The guard to begin with; a run without a goodbye before another boot is booked on its bundle's point."""
    if run is None or end_of(run, boot) is not End.DEVICE_LOST:
        return Guard(record.of(bundle))
    of = run.bundle or bundle
    guard = after_loss(record.of(of), run.point, run.supply)
    record.keep(of, guard.losses)
    # Another bundle's points are held against nothing, but the supply is the one that has failed.
    return guard if of == bundle else Guard(climbs=True)


def loss_told(run: LastRun, guard: Guard) -> Event:
    """The event of a run that ended with the device."""
    words = run.supply.in_words() or "nothing is known of the supply"
    ended = (
        f"the last run had no goodbye, and another boot followed: the power was lost at {run.point}, or it hung"
    )
    if run.point in guard.losses:
        count = guard.losses[run.point].count
        follows = "it is put off" if count >= LOSSES else f"{LOSSES} put it off"
        booked = f"{count} so far without a better supply, {follows}"
    else:
        count, booked = 1, "it is booked on the bundle that was served then, not on this one"
    text = f"{ended} ({words}); {booked}"
    return Event(EventKind.FAULT, text, {"point": run.point, "count": count, "supply": asdict(run.supply)})


def first_point(run: LastRun | None, ladder: Ladder, policy: Policy, guard: Guard) -> str:
    """Where to begin: where the last run was, unless that is put off; after a loss at the cheapest point."""
    points = allowed(ladder, policy.max_accuracy_loss)
    if guard.climbs:
        return points[-1].name
    point, off = point_of(run, ladder), put_off(replace(guard, order=ladder.names), points)
    held = guard.losses.get(point, Losses(0)).count >= LOSSES
    return next(each.name for each in points if each.name not in off) if held or point in off else point


def _counts(losses: Mapping[str, Losses]) -> Mapping[str, tuple[int, int, bool, int]]:
    """What is worth a write: of the time since then, whole hours."""
    return {
        point: (each.count, each.tries, bool(each.supply.volts), int(each.ran_s // 3600))
        for point, each in losses.items()
    }
