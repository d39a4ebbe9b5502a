"""The terminal view of a status: what the device is like, where the model stands on its ladder, and why."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from tidegate.messages import Served, StreamCount
from tidegate.supervisor.models.model_status import LoadState, ModelStatus
from tidegate.supervisor.status.status import FootageStatus, ReadingStatus, RungStatus, Status, TelemetryStatus
from tidegate.telemetry.payloads.reported import ReportedCertificate
from tidegate.terminal.rows import Line, Row, fit
from tidegate_drivers.reading import (
    BATTERY,
    CPU,
    MEMORY_AVAILABLE,
    MEMORY_PRESSURE,
    POWER,
    POWER_SOURCE,
    TEMPERATURE,
    THERMAL_PRESSURE,
    THROTTLED,
    Freshness,
    Unit,
)

FIRST = (BATTERY, TEMPERATURE, POWER_SOURCE)
THEN = (THERMAL_PRESSURE, THROTTLED, POWER, CPU, MEMORY_AVAILABLE, MEMORY_PRESSURE)
DECIDED = frozenset(("decision", "switch", "rollback"))
"""Kinds of events that are a decision; the others tell what happened besides."""
TROUBLE = 6.5
"""Rank of what is out of order: right behind the decision, before what is in order."""


def render(status: Status, width: int, height: int | None = None, notes: Sequence[str] = ()) -> Text:
    """The view in at most `height` lines of `width` columns; the most important first, and the last to go.

    `notes` are lines of whoever shows the view, oldest first.
    """
    return Text("\n", no_wrap=True, end="").join(
        _text(line) for line in fit(list(_rows(status, notes)), width, height)
    )


def _text(line: Line) -> Text:
    if line.heading:
        return Text(line.label, line.style)
    return Text.assemble((line.label, "cyan"), " ", (line.text, line.style))


def _rows(status: Status, notes: Sequence[str]) -> Iterator[Row]:
    yield Row(12, f"device {status.device}, model {status.model} on {status.engine}", style="bold", heading=True)
    for rank, name in enumerate(FIRST, start=1):
        yield _reading(rank, name, status.readings.get(name))
    yield from _point(status)
    yield from _decision(status)
    yield from _service(status)
    yield from _models(status)
    yield from _streams(status)
    for trouble in status.troubles:
        if trouble.part == "models" and len(status.models) > 1:
            continue  # each has a row of its own
        yield Row(TROUBLE, "trouble", f"{trouble.part}: {trouble.because}", "yellow", at_most=3, more=10.3)
    for age, note in enumerate(reversed(notes)):
        yield Row(11 + 20 * age, "note", note, at_most=2, more=13.1)
    yield from _ladder(status)
    yield from _earlier(status)
    yield Row(30.5, "more of the device", style="bold", heading=True)
    for rank, name in enumerate(THEN):
        reading = status.readings.get(name)
        known = reading is not None and reading.value is not None
        yield _reading((30 if known else 60) + rank, name, reading)


def format_value(reading: ReadingStatus) -> str:
    """The value with its unit; a reading without a value says so, never 0."""
    if reading.value is None:
        return "unavailable"
    if isinstance(reading.value, str):
        return reading.value
    if reading.unit == Unit.BYTE:
        return f"{reading.value / 2**20:,.0f} MiB"
    if reading.unit == Unit.HERTZ:
        return f"{reading.value / 1e6:,.0f} MHz"
    # A board that sleeps draws milliwatts: rounded, they would read as none.
    digits = ".1f" if reading.value == 0 or abs(reading.value) >= 0.1 else ".2g"
    return f"{reading.value:{digits}} {reading.unit}"


def _reading(rank: float, name: str, reading: ReadingStatus | None) -> Row:
    label = name.replace("_", " ")
    if reading is None:
        return Row(rank, label, "no sensor", "dim")
    if reading.value is None:
        return Row(rank, label, f"unavailable: {reading.reason}", "yellow")
    fresh = reading.freshness is Freshness.FRESH
    stale = "" if fresh else " (stale)"
    text = f"{format_value(reading)}{stale} ({reading.provenance}, {reading.source})"
    return Row(rank, label, text, "bold" if fresh else "yellow")


def _point(status: Status) -> Iterator[Row]:
    rungs = _rungs(status)
    names = [rung.name for rung in rungs]
    place = f", rung {names.index(status.point) + 1} of {len(names)}" if status.point in names else ""
    yield Row(4, "point", f"{status.point}{place}", "bold green", at_most=2, more=4.5)
    demoted = any(demotion.point == status.point for demotion in status.demotions)
    risk = format_risk(status.certified_risk)
    yield Row(5, "certified risk", f"{risk}; demoted: drifted" if demoted else risk, "bold green")


def _decision(status: Status) -> Iterator[Row]:
    decision = status.decision
    if decision is None:
        yield Row(6, "because", "nothing is decided yet", "dim")
    else:
        yield Row(6, "because", "; ".join((decision.reason, *decision.held_back)), "bold", at_most=4, more=10.1)
    last = next((event for event in reversed(status.recent) if event["kind"] in DECIDED), None)
    if last is not None:
        yield Row(6.1, "last decision", f"{_clock(last)} {last['kind']}: {last['text']}", at_most=4, more=10.2)
    elif decision is not None:
        yield Row(6.1, "last decision", f"wants {decision.point}: {decision.reason}", at_most=4, more=10.2)
    else:
        yield Row(6.1, "last decision", "none yet", "dim")


def _service(status: Status) -> Iterator[Row]:
    served, worker, policy = status.served, status.worker, status.policy
    if served is None:
        yield Row(7, "requests", "not counted yet", "dim")
    elif served.latency_p50_ms is None or served.latency_p95_ms is None:
        counts = (
            f"none in the last {served.window_s:.1f} s, failed {served.failed}, turned away {served.turned_away}"
        )
        yield Row(7, "requests", counts, "dim", at_most=2)
    else:
        skipped = "no block to skip" if served.skip_ratio is None else f"{served.skip_ratio:.0%} of blocks skipped"
        counts = (
            f"{served.requests / served.window_s:.0f}/s served, failed {served.failed}, "
            f"turned away {served.turned_away}, p50 {served.latency_p50_ms:.2f} ms, "
            f"p95 {served.latency_p95_ms:.2f} ms, {skipped}"
        )
        yield Row(7, "requests", counts, at_most=2, more=19)
    signers = f", signed by {', '.join(policy.signed_by)}" if policy.signed_by else ""
    yield Row(8, "policy", f"{policy.name} version {policy.version} ({policy.origin}{signers})", at_most=2)
    yield from _bundle(status)
    if status.held_at is not None:
        said = f"{status.held_at}, from outside: urgent rules, pauses and the ceilings stay"
        yield Row(TROUBLE, "held at", said, "bold yellow", at_most=2)
    if status.allow_unsigned:
        said = "allow_unsigned: whoever may publish at the broker sets this device's policy"
        yield Row(TROUBLE, "unsigned", said, "bold yellow", at_most=2)
    if status.certificate is not None and status.certificate.state == "in_force":
        yield Row(8.3, "certificate", _certificate(status.certificate), at_most=3)
    if status.footage is not None:
        yield Row(10.7, "footage", _footage(status.footage), at_most=2)
    if status.exposure:
        yield Row(TROUBLE, "exposed", status.exposure, "bold yellow", at_most=3)
    if status.refusals:
        counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in status.refusals.items())
        yield Row(8.5, "refused pushes", f"{counts}, since the start", "yellow", at_most=2)
    trouble = status.telemetry.link not in ("online", "no broker configured")
    yield Row(
        TROUBLE if trouble else 9, "mqtt", _telemetry(status.telemetry), "yellow" if trouble else "", at_most=3
    )
    if status.web_address:
        yield Row(10.5, "status page", status.web_address, at_most=2)
    serving = worker.state == "serving"
    text = f"{worker.state}, pid {worker.pid or 'none'}, {worker.restarts} restarts"
    yield Row(10 if serving else TROUBLE, "worker", text, "" if serving else "yellow")


def _models(status: Status) -> Iterator[Row]:
    """Each model, the main one too, where there is more than one."""
    if len(status.models) < 2:
        return
    for each in status.models:
        label, text = f"model {each.name}", format_model(each)
        if each.is_ready:
            yield Row(7.2, label, text, at_most=2)
        else:
            failed = each.load_state is LoadState.FAILED
            yield Row(TROUBLE if failed else 7.1, label, text, "yellow", at_most=4, more=10.3 if failed else 10.4)


def format_model(model: ModelStatus) -> str:
    """Where it is, what it serves and holds; or why it doesn't answer."""
    if not model.is_ready:
        return f"{model.load_state}: {model.why}"
    served = "nothing served yet"
    if model.window_requests is not None and model.window_s:
        served = f"{model.window_requests / model.window_s:.0f}/s served"
    late = "" if model.latency_p95_ms is None else f", p95 {model.latency_p95_ms:.2f} ms"
    weights = model.weights_resident_bytes
    held = "" if weights is None else f", {weights / 2**20:.1f} MiB of weights"
    return f"at {model.point} ({format_risk(model.certified_risk)}), {served}{late}{held}"


def _certificate(held: ReportedCertificate) -> str:
    """Of this place, and whether it was counted on what runs here; one that does not count is a trouble."""
    counted = f"{held.inputs} inputs, {held.labelled} labelled" + (
        f", clips of {held.clip}" if held.clip != 1 else ""
    )
    told = f"on {held.data} ({counted}), {held.counted_at[:10]}, signed by {', '.join(held.signed_by)}"
    if held.recount is not None:
        return f"{told}; counted again here: {held.recount.state}: {held.recount.reason}"
    return told if held.placement == held.here else f"{told}; counted on {held.placement}, here is {held.here}"


def _footage(footage: FootageStatus) -> str:
    found = f"{footage.sampled} clips and {footage.disagreements} disagreements kept"
    room = f"{footage.size_bytes / (1 << 20):.1f} of {footage.max_bytes / (1 << 20):.0f} MiB"
    since = "" if footage.oldest is None else f", since {footage.oldest[:16].replace('T', ' ')} UTC"
    return f"{found}, {room}{since}; on this device alone, for its agent's user"


def _streams(status: Status) -> Iterator[Row]:
    """Each stream, and Frigate, with what came of its frames in the last window."""
    served = status.served
    if served is None:
        return
    for each in counted(served):
        rank = TROUBLE if each.problem else 7.5
        text = format_stream(each, served.window_s)
        yield Row(rank, stream_label(served, each), text, "yellow" if each.problem else "", at_most=2)


def counted(served: Served) -> tuple[StreamCount, ...]:
    """The streams, and Frigate last where it is."""
    return served.streams if served.frigate is None else (*served.streams, served.frigate)


def stream_label(served: Served, count: StreamCount) -> str:
    """Such as `stream door`."""
    return "frigate" if count is served.frigate else f"stream {count.name}"


def format_stream(count: StreamCount, window_s: float) -> str:
    """Source, answers, what else became of frames in the window, the last frame, and why none come."""
    others = ("failed", "turned_away", "dropped", "still", "skipped")
    left_out = [f"{number} {name.replace('_', ' ')}" for name in others if (number := getattr(count, name))]
    rate = f"{count.answered / window_s:.1f}/s answered" if window_s > 0 else f"{count.answered} answered"
    last = "no frame since the worker began"
    if count.last_frame_at is not None:
        last = f"last frame {datetime.fromtimestamp(count.last_frame_at).astimezone():%Y-%m-%d %H:%M:%S}"
    problem = f"; no frames come: {count.problem}" if count.problem else ""
    return f"{', '.join((count.source, rate, *left_out, last))}{problem}"


def _bundle(status: Status) -> Iterator[Row]:
    """A bundle that was pushed, or comes in; agent.yaml's needs no word."""
    bundle = status.bundle
    if bundle is not None and bundle.origin == "pushed":
        text = f"pushed as version {bundle.version}, signed by {', '.join(bundle.signed_by)}"
        yield Row(8.1, "bundle", text, at_most=2)
    if bundle is not None and bundle.coming:
        yield Row(8.2, "pushed bundle", bundle.coming, at_most=2)


def _rungs(status: Status) -> list[RungStatus]:
    """The points that this engine runs; the others are not rungs here."""
    return [rung for rung in status.ladder if not rung.refused or rung.name == status.point]


def _ladder(status: Status) -> Iterator[Row]:
    """The ladder from full to cheapest; where room is short, the rungs nearest to the one in force stay."""
    rungs = _rungs(status)
    if not rungs:
        return
    names = [rung.name for rung in rungs]
    here = names.index(status.point) if status.point in names else 0
    demoted = {demotion.point for demotion in status.demotions}
    count = f"ladder, {len(rungs)} rung{'s' if len(rungs) != 1 else ''}"
    others = len(status.ladder) - len(rungs)
    lacking = f"; {others} of the bundle's points {'do' if others != 1 else 'does'} not run here" if others else ""
    yield Row(13, f"{count}{lacking}", style="bold", heading=True)
    for number, rung in enumerate(rungs):
        current = rung.name == status.point
        risk = "demoted: drifted" if rung.name in demoted else format_risk(rung.certified_risk)
        text = f"{risk}, p50 {rung.latency_p50_ms:.2f} ms, accuracy {format_share(rung.accuracy)}"
        label = f"{'▶' if current else '·'} {rung.name}"
        yield Row(14 + 2 * abs(number - here), label, text, "bold green" if current else "")


def format_risk(certified_risk: float | None) -> str:
    """The certified bound as a share, or that there is none."""
    return "not certified" if certified_risk is None else f"≤ {certified_risk:.1%}"


def format_share(share: float | None) -> str:
    """A share in percent, or that it was not measured."""
    return "not measured" if share is None else f"{share:.1%}"


def _telemetry(telemetry: TelemetryStatus) -> str:
    reason = telemetry.reason
    where = (f" at {telemetry.broker}" if telemetry.broker else "") + (f" ({reason})" if reason else "")
    if telemetry.dropped is None:
        return f"{telemetry.link}{where}: the spool can't be read"
    dropped = sum(telemetry.dropped.values())
    merged = f", {telemetry.merged} merged" if telemetry.merged else ""
    left = telemetry.data_left_bytes
    spared = "" if left is None else f"; {left / 1e3:.0f} kB of data_per_day left for now"
    return (
        f"{telemetry.link}{where}: {telemetry.published} published, {telemetry.waiting} waiting{merged}, "
        f"{dropped} dropped{spared}"
    )


def _earlier(status: Status) -> Iterator[Row]:
    """What happened, newest first, without the decision that stands above."""
    events = list(reversed(status.recent))
    last = next((index for index, event in enumerate(events) if event["kind"] in DECIDED), None)
    rest = [event for index, event in enumerate(events) if index != last]
    if not rest:
        return
    yield Row(14.5, "before that", style="bold", heading=True)
    for age, event in enumerate(rest):
        yield Row(15 + 2 * age, _clock(event), f"{event['kind']}: {event['text']}")


def _clock(event: dict[str, object]) -> str:
    """The event's time of day where the terminal is."""
    return datetime.fromisoformat(str(event["at"])).astimezone().strftime("%H:%M:%S")
