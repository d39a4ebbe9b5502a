"""What devices say while something is rolled out: who is there, what they made of it, and what they measure."""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tidegate.fleet.rollout.abort_rule import Fared, before_of
from tidegate.fleet.rollout.measured import Seen
from tidegate.fleet.rollout.pooled_test import Evidence, broke_alone
from tidegate.telemetry.payloads.device_status import parse_device_status
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.payloads.reported import (
    ComparedPoint,
    PastVerdict,
    PolicyState,
    Reported,
    ReportedError,
    parse_reported,
)
from tidegate.telemetry.payloads.window import Window, parse_window

Kind = Literal["policy", "bundle"]
OVERTAKEN = "overtaken"
"""Of a device that runs something newer: it says nothing of what is rolled out any more."""


@dataclass(frozen=True, slots=True)
class RolledOut:
    """Which policy or bundle: its version, and the SHA-256 that devices name it by."""

    kind: Kind
    version: int
    hash: str


@dataclass(slots=True)
class _Device:
    """`push_id` is that of the push that was sent to it, None before; `since` begins with its acceptance."""

    reported: Reported | None = None
    online: bool = False
    push_id: str | None = None
    before: Seen = field(default_factory=Seen)
    since: Seen | None = None
    evidence: Evidence = field(default_factory=Evidence)


class Heard:
    """Taken in by one thread and asked by another; names are those of devices."""

    def __init__(self, rolled_out: RolledOut, target: Target) -> None:
        self._ours = rolled_out
        self._target = target
        self._lock = threading.Lock()
        self._devices: dict[str, _Device] = {}

    def take(self, name: str, kind: str, payload: bytes, *, retained: bool) -> None:
        """Note a message on a device's `status`, `reported` or `telemetry`; what can't be read changes nothing."""
        with self._lock:
            device = self._devices.setdefault(name, _Device())
            if kind == "status":
                status = parse_device_status(payload)
                device.online = status is not None and status.state == "online"
            elif kind == "reported":
                self._take_report(device, payload)
            elif kind == "telemetry" and not retained and (window := parse_window(payload)) is not None:
                self._take_window(device, window)

    def members(self) -> tuple[str, ...]:
        """Those that it is rolled out to."""
        with self._lock:
            return tuple(name for name, each in self._devices.items() if self._belongs(each))

    def online(self) -> frozenset[str]:
        """Those that are there."""
        with self._lock:
            return frozenset(name for name, each in self._devices.items() if each.online)

    def unreported(self) -> list[str]:
        """Those of whom something is known, but not what they report."""
        with self._lock:
            return [name for name, each in self._devices.items() if each.reported is None]

    def demoted(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """What is off the ladder of each, without those where nothing is; a new bundle begins with all points."""
        if self._ours.kind == "bundle":
            return {}
        with self._lock:
            reports = {name: self._devices[name].reported for name in names if name in self._devices}
        return {name: each.demoted for name, each in reports.items() if each is not None and each.demoted}

    def before(self, names: Iterable[str]) -> dict[str, dict[str, float]]:
        """What each measured before it was pushed to, by measure; without those of which nothing is known."""
        with self._lock:
            found = {name: before_of(self._devices[name].before) for name in names if name in self._devices}
        return {name: values for name, values in found.items() if values}

    def pushed(self, name: str, push_id: str) -> None:
        """A push with this id goes to a device: only verdicts on it count from now on."""
        with self._lock:
            device = self._devices.setdefault(name, _Device())
            device.push_id = push_id

    def push_id(self, name: str) -> str | None:
        """That of the push that was sent to it, if any was."""
        with self._lock:
            return self._devices.get(name, _Device()).push_id

    def verdict(self, name: str) -> str:
        """`accepted`, `trial`, `refused`, `rolled_back` or `overtaken`; empty while there is none."""
        with self._lock:
            return self._verdict(self._devices.get(name, _Device()))

    def fared(
        self,
        names: Collection[str],
        demoted_before: Mapping[str, Collection[str]],
        before: Mapping[str, Mapping[str, float]],
        progress: Mapping[str, str],
    ) -> Fared:
        """How devices fare. Who is away, or runs something newer, is not judged.

        `progress` says of some how far they are.
        """
        counted: dict[str, dict[str, str]] = {}
        measured: dict[str, Seen] = {}
        compared: list[ComparedPoint] = []
        away = 0
        with self._lock:
            for name in names:
                device = self._devices.get(name, _Device())
                verdict = self._verdict(device)
                compared += device.evidence.all
                if verdict in {"refused", "rolled_back"}:
                    counted.setdefault(verdict, {})[name] = self._reason(device)
                elif verdict == "accepted":
                    measured[name] = device.since or Seen()
                    if demoted := self._demoted_since(device, demoted_before.get(name, ())):
                        counted.setdefault("demoted", {})[name] = f"{', '.join(demoted)} broke its certificate"
                elif device.online and verdict != OVERTAKEN:
                    said = ", ".join(part for part in (self._reason(device), progress.get(name, "")) if part)
                    counted.setdefault("silent", {})[name] = said or "no verdict"
                else:
                    away += 1
        devices = max(1, len(names) - away)
        return Fared(devices, counted, tuple(compared), measured, before)

    def _demoted_since(self, device: _Device, before: Collection[str]) -> list[str]:
        """Points taken off the ladder since, for what they did under what is rolled out, not before it."""
        demoted = set() if device.reported is None else set(device.reported.demoted) - set(before)
        compared = {each.point: each for each in device.evidence.all}
        return sorted(name for name in demoted if name in compared and broke_alone(compared[name]))

    def _take_report(self, device: _Device, payload: bytes) -> None:
        try:
            device.reported = parse_reported(payload)
        except ReportedError:
            return
        if self._verdict(device) != "accepted":
            return
        device.evidence.note(device.reported.compared)
        if device.since is None:
            restarts = device.before.restarts
            device.since = Seen(last_seq=device.before.last_seq, first_restarts=restarts, restarts=restarts)

    def _take_window(self, device: _Device, window: Window) -> None:
        if window.windows > 1:
            return  # made of several while the broker was away: nobody knows what it is of
        if device.since is None:
            if device.push_id is None:
                device.before = device.before.with_window(window)
        elif self._is_of_ours(device, window):
            # The first one began before the verdict: only its count of restarts is of use.
            first = device.since.windows == 0 and device.since.last_seq == device.before.last_seq
            seen = device.since.with_window(window)
            restarted = replace(
                Seen(), last_seq=seen.last_seq, first_restarts=seen.first_restarts, restarts=seen.restarts
            )
            device.since = restarted if first else seen

    def _is_of_ours(self, device: _Device, window: Window) -> bool:
        """Whether it was taken under what is rolled out, and not before; by the device's own clock alone."""
        if self._ours.kind == "policy":
            return window.policy == self._ours.version
        past: tuple[PastVerdict, ...] = () if device.reported is None else device.reported.bundle_verdicts
        ours = (self._ours.version, self._ours.hash, "accepted")
        at_s = next((each.at_s for each in past if (each.version, each.hash, each.state) == ours), None)
        return at_s is None or window.at >= at_s

    def _belongs(self, device: _Device) -> bool:
        reported = device.reported
        return reported is not None and (self._target.kind == "fleet" or self._target.name in reported.groups)

    def _answer(self, device: _Device) -> PolicyState | None:
        """The device's verdict on what is rolled out, if it has one."""
        reported, ours = device.reported, (self._ours.version, self._ours.hash)
        if reported is None:
            return None
        policies, bundles = (reported.refused, reported.policy), (reported.bundle_refused, reported.bundle_push)
        for each in policies if self._ours.kind == "policy" else bundles:
            if each is not None and (each.version, each.hash) == ours and device.push_id in {each.push_id, None}:
                return each
        return None

    def _verdict(self, device: _Device) -> str:
        answer = self._answer(device)
        if answer is not None and answer.state != "refused":
            return answer.state
        reported = device.reported
        runs = None
        if reported is not None:
            runs = reported.policy if self._ours.kind == "policy" else reported.bundle_push
        if runs is not None and runs.version > self._ours.version:
            return OVERTAKEN
        return "" if answer is None else answer.state

    def _reason(self, device: _Device) -> str:
        answer = self._answer(device)
        return "" if answer is None else " ".join(answer.reason.split())
