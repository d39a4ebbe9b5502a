"""The fleet in a terminal's columns and as JSON, and an event on a line. Pure."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime

from tidegate.fleet.overview import DeviceOverview
from tidegate.quantities.counted import counted
from tidegate.telemetry.payloads.reported import PastVerdict, PolicyState, ReportedModel
from tidegate.terminal.table import Table
from tidegate.terminal.wrapping import plain

UNKNOWN = "-"
_NAME_CELLS = 20
_POINT_CELLS = 14


def summary(devices: Sequence[DeviceOverview]) -> str:
    """How many there are, and of what kind, in a line."""
    states = Counter(each.state for each in devices)
    parts = [f"{states[state]} {state}" for state in ("online", "offline", "unknown") if states[state]]
    refused = sum(bool(each.pushes_in_trouble) for each in devices)
    parts += [f"{refused} refused a push"] if refused else []
    demoted = sum(bool(each.demoted) for each in devices)
    parts += [f"{demoted} demoted points"] if demoted else []
    failed = sum(bool(each.failed_models) for each in devices)
    parts += [f"{failed} with a failed model"] if failed else []
    held = sum(each.reported is not None and each.reported.held_at is not None for each in devices)
    parts += [f"{held} held"] if held else []
    return f"{counted(len(devices), 'device')}: {', '.join(parts) or 'none'}"


def fleet_table(title: str, devices: Sequence[DeviceOverview], now: float, *, wide: bool) -> Table:
    """A row each; not `wide`, it is cut to what eighty columns hold on one line."""
    columns = ["device", "state", "seen", "battery", "point", "policy"]
    if wide:
        columns += ["last verdict", "bundle", "its last verdict", "further models", "groups", "agent"]
    return Table(title, columns, [_row(each, now, wide=wide) for each in devices])


def as_json(devices: Sequence[DeviceOverview], now: float) -> dict[str, object]:
    """All that is known of each; what is not is null."""
    return {"at": round(now, 3), "devices": [_document(each) for each in devices]}


def event_line(device: str, payload: bytes, kinds: Collection[str], *, as_json: bool) -> str | None:
    """An event on one line; None for one of another kind, and for what is none."""
    try:
        event = json.loads(payload)
    except ValueError:
        return None
    if not isinstance(event, dict) or not {"at", "kind", "text"} <= event.keys():
        return None
    if kinds and event["kind"] not in kinds:
        return None
    if as_json:
        return json.dumps({"device": device, **event})
    return plain(f"{_clock(event['at'])} {device} {event['kind']}: {event['text']}")


def _row(each: DeviceOverview, now: float, *, wide: bool) -> list[str]:
    point = each.point or UNKNOWN
    if each.reported is not None and each.reported.held_at is not None:
        point += " (held)"
    row = [
        each.device if wide else _cut(each.device, _NAME_CELLS),
        each.state,
        UNKNOWN if each.seen_at is None else _ago(now - each.seen_at),
        UNKNOWN if each.battery_percent is None else f"{each.battery_percent:.0f} %",
        point if wide else _cut(point, _POINT_CELLS),
        _policy(each) if wide else _cut(_pushes(each), _NAME_CELLS),
    ]
    if wide:
        reported = each.reported
        row += [
            _verdict(each.refused, () if reported is None else reported.verdicts, known=reported is not None),
            _bundle(each),
            _verdict(
                each.bundle_pending,
                () if reported is None else reported.bundle_verdicts,
                known=reported is not None,
            ),
            UNKNOWN if reported is None else "; ".join(map(_model, reported.models)) or "none",
            UNKNOWN if reported is None else ", ".join(reported.groups) or "none",
            UNKNOWN if reported is None else reported.agent_version,
        ]
    return row


def verdict_table(devices: Sequence[DeviceOverview]) -> Table:
    """A row for each verdict that devices remember, the newest first, on policies and bundles."""
    found: list[tuple[int, list[str]]] = []
    for each in devices:
        if each.reported is None:
            continue
        kinds = (("policy", each.reported.verdicts), ("bundle", each.reported.bundle_verdicts))
        for kind, past in kinds:
            for one in past:
                row = [each.device, _day(one.at_s), kind, str(one.version), one.state.replace("_", " ")]
                found.append((one.at_s, [*row, str(one.count), one.reason or "none"]))
    rows = [row for _, row in sorted(found, key=lambda told: (-told[0], told[1]))]
    columns = ["device", "at (its clock)", "what", "version", "verdict", "times", "reason"]
    return Table(counted(len(rows), "verdict"), columns, rows)


def _policy(each: DeviceOverview) -> str:
    if each.unreadable:
        return f"unreadable: {', '.join(sorted(each.unreadable))}"
    if each.reported is None or each.reported.policy is None:
        return UNKNOWN
    policy, refused = each.reported.policy, each.refused
    told = f"{policy.version}" if policy.state == "accepted" else f"{policy.version} {policy.state}"
    return told if refused is None else f"{told}, not {refused.version}"


def _pushes(each: DeviceOverview) -> str:
    """The policy, or the bundle that is on its way or did not come into force, in one narrow column."""
    pending = each.bundle_pending
    if each.failed_models and not each.unreadable and not each.pushes_in_trouble:
        return f"failed: {each.failed_models[0].name}"
    if each.unreadable or each.refused is not None or pending is None:
        return _policy(each)
    return f"bundle {pending.version} {pending.state.replace('_', ' ')}"


def _model(model: ReportedModel) -> str:
    if model.state == "loaded":
        return f"{model.name} at {model.operating_point or UNKNOWN}"
    return f"{model.name} {model.state}" + (f": {model.reason}" if model.reason else "")


def _bundle(each: DeviceOverview) -> str:
    if each.reported is None or not each.reported.bundle:
        return UNKNOWN
    version, pending = each.bundle_version, each.bundle_pending
    told = each.reported.bundle[:12] if version is None else f"{version} ({each.reported.bundle[:12]})"
    return told if pending is None else f"{told}, not {pending.version}"


def _verdict(pending: PolicyState | None, past: Sequence[PastVerdict], *, known: bool) -> str:
    if not known:
        return UNKNOWN
    if pending is not None:
        reason = f": {pending.reason}" if pending.reason else ""
        return f"{pending.version} {pending.state.replace('_', ' ')}{reason}"
    last = next(iter(past), None)
    return "none" if last is None else f"{last.version} {last.state.replace('_', ' ')}"


def _document(each: DeviceOverview) -> dict[str, object]:
    return {
        "device": each.device,
        "state": each.state,
        "session": None if each.status is None else each.status.session,
        "since": None if each.status is None else each.status.since,
        "seen_at": each.seen_at,
        "battery_percent": each.battery_percent,
        "reported": None if each.reported is None else asdict(each.reported),
        "window": None if each.window is None else each.window.to_document(),
        "unreadable": sorted(each.unreadable),
    }


def _ago(seconds: float) -> str:
    """In the largest whole unit; of a clock that is ahead of this one, now."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _cut(text: str, cells: int) -> str:
    """Shortened in the middle: names that are numbered differ at their ends."""
    half = (cells - 1) // 2
    return text if len(text) <= cells else f"{text[:half]}…{text[len(text) - (cells - 1 - half) :]}"


def _day(unix_s: float) -> str:
    try:
        return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def _clock(at: object) -> str:
    try:
        return datetime.fromisoformat(str(at)).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return UNKNOWN
