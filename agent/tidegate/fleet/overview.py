"""What devices have said of themselves over MQTT, one record each. Pure: messages in, an overview out."""

from dataclasses import dataclass, field, replace
from typing import Literal

from tidegate.telemetry.payloads.device_status import DeviceStatus, parse_device_status
from tidegate.telemetry.payloads.reported import (
    PolicyState,
    Reported,
    ReportedError,
    ReportedModel,
    parse_reported,
)
from tidegate.telemetry.payloads.window import Window, parse_window
from tidegate.telemetry.topics import ROOT, DeviceTopics, TopicError

FILTERS = tuple(f"{ROOT}/+/{kind}" for kind in ("status", "reported", "telemetry"))
"""What to subscribe to; the first two are retained, the small one first."""

State = Literal["online", "offline", "unknown"]


@dataclass(frozen=True, slots=True)
class DeviceOverview:
    """One device; None where it has not said so yet. `unreadable` are topics with payloads of no known form.

    `heard_at` is when it last said something that was not retained, Unix time in seconds here.
    """

    device: str
    status: DeviceStatus | None = None
    reported: Reported | None = None
    window: Window | None = None
    heard_at: float | None = None
    unreadable: frozenset[str] = frozenset()

    @property
    def state(self) -> State:
        """Whether it is there, as far as is known."""
        return "unknown" if self.status is None else self.status.state

    @property
    def seen_at(self) -> float | None:
        """The last moment of which is known that it was there, Unix time; None where none is."""
        if self.state == "online":
            return self.heard_at or (None if self.status is None else self.status.since)
        told = None if self.status is None else self.status.since
        known = [
            at for at in (told, self.heard_at, None if self.window is None else self.window.at) if at is not None
        ]
        return max(known, default=None)

    @property
    def battery_percent(self) -> float | None:
        """As of the last window that was heard."""
        value = None if self.window is None else self.window.readings.get("battery")
        return value if isinstance(value, float) else None

    @property
    def point(self) -> str | None:
        """The operating point in force."""
        return None if self.reported is None else self.reported.operating_point

    @property
    def refused(self) -> PolicyState | None:
        """The last push of a policy where it is not in force."""
        return None if self.reported is None else self.reported.refused

    @property
    def bundle_version(self) -> int | None:
        """The version of the pushed bundle in force; None where it is agent.yaml's, or nothing is known."""
        if self.reported is None:
            return None
        push, past = self.reported.bundle_push, self.reported.bundle_verdicts
        ours = (self.reported.bundle, "accepted")
        told = [each for each in (push, *past) if each is not None and (each.hash, each.state) == ours]
        return told[0].version if told else None

    @property
    def bundle_pending(self) -> PolicyState | None:
        """The last push of a bundle where it is not in force: on its way, tried, rolled back or refused."""
        if self.reported is None:
            return None
        push = self.reported.bundle_push
        return self.reported.bundle_refused or (None if push is None or push.state == "accepted" else push)

    @property
    def pushes_in_trouble(self) -> tuple[PolicyState, ...]:
        """Pushes that it refused or rolled back, of a policy and of a bundle."""
        pending = (self.refused, self.bundle_pending)
        return tuple(each for each in pending if each is not None and each.state in {"refused", "rolled_back"})

    @property
    def demoted(self) -> tuple[str, ...]:
        """The points that shadow runs took off its ladder."""
        return () if self.reported is None else self.reported.demoted

    @property
    def failed_models(self) -> tuple[ReportedModel, ...]:
        """Models beside its main one that don't answer although they are to."""
        return (
            () if self.reported is None else tuple(each for each in self.reported.models if each.state == "failed")
        )

    @property
    def troubled(self) -> bool:
        """Whether somebody should look at it."""
        failed = self.reported is not None and self.reported.failed_upgrade is not None
        pushes = self.refused is not None or bool(self.pushes_in_trouble)
        failed = failed or bool(self.failed_models)
        return self.state != "online" or pushes or bool(self.demoted) or failed or bool(self.unreadable)


@dataclass(slots=True)
class Overview:
    """All devices by name, up to `most` of them: names come from whoever may publish. `left_out` says of more."""

    most: int = 20_000
    devices: dict[str, DeviceOverview] = field(default_factory=dict)
    left_out: bool = False

    def take(self, topic: str, payload: bytes, *, retained: bool, now: float) -> bool:
        """Note a message received at `now` (Unix time); False for one of no device. An empty one clears."""
        level = topic.split("/")
        if len(level) != 3 or level[0] != ROOT or level[2] not in {"status", "reported", "telemetry"}:
            return False
        name, kind = level[1], level[2]
        try:
            DeviceTopics(name)
        except TopicError:
            return False
        if name not in self.devices and len(self.devices) >= self.most:
            self.left_out = True
            return False
        before = self.devices.get(name, DeviceOverview(name))
        after = _with(before, kind, payload)
        if after == DeviceOverview(name, heard_at=before.heard_at):
            # Somebody has cleared what was retained of a device that is no more.
            self.devices.pop(name, None)
            return True
        self.devices[name] = after if retained else replace(after, heard_at=now)
        return True

    def unreported(self) -> list[str]:
        """Those of whom something is known, but not what they report."""
        return [name for name, each in self.devices.items() if each.reported is None]

    def sorted(self, group: str | None = None) -> list[DeviceOverview]:
        """Those of a group (None: all) by name, the troubled first."""
        found = [
            each
            for each in self.devices.values()
            if group is None or (each.reported is not None and group in each.reported.groups)
        ]
        return sorted(found, key=lambda each: (not each.troubled, each.device))


def _with(before: DeviceOverview, kind: str, payload: bytes) -> DeviceOverview:
    readable = before.unreadable - {kind}
    strange = replace(before, unreadable=before.unreadable | {kind})
    if kind == "status":
        status = parse_device_status(payload) if payload else None
        return strange if payload and status is None else replace(before, status=status, unreadable=readable)
    if kind == "telemetry":
        window = parse_window(payload) if payload else before.window
        return strange if window is None and payload else replace(before, window=window, unreadable=readable)
    try:
        reported = parse_reported(payload) if payload else None
    except ReportedError:
        return strange
    return replace(before, reported=reported, unreadable=readable)
