"""The terminal view of a status: what the device is like, where the model stands on its ladder, and why."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.supervisor.status import ReadingStatus, Status, TelemetryStatus
from drivers.reading import (
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

SHOWN = (
    BATTERY,
    POWER_SOURCE,
    TEMPERATURE,
    THERMAL_PRESSURE,
    THROTTLED,
    POWER,
    CPU,
    MEMORY_AVAILABLE,
    MEMORY_PRESSURE,
)
DECISIONS_SHOWN = 8
SIDE_BY_SIDE_FROM = 130


def render(status: Status, width: int) -> RenderableType:
    """The whole view; device and ladder stand side by side where `width` (columns) allows."""
    device = _panel(_device(status), f"device {status.device}")
    ladder = _panel(_ladder(status), f"model {status.model} ({status.engine})")
    if width >= SIDE_BY_SIDE_FROM:
        both = Table.grid(expand=True, padding=(0, 1))
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(device, ladder)
        top: tuple[RenderableType, ...] = (both,)
    else:
        top = (device, ladder)
    return Group(*top, _panel(_service(status), "service"), _panel(_events(status), "decisions"))


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=title, border_style="cyan")


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


def _device(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=16)
    table.add_column(min_width=12)
    # A long reason is cut here; `tidegate doctor` tells it whole.
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name in SHOWN:
        reading = status.readings.get(name)
        if reading is None:
            table.add_row(name.replace("_", " "), Text("no sensor", style="dim"), "")
            continue
        style = "bold" if reading.freshness is Freshness.FRESH else "yellow"
        origin = reading.reason if reading.value is None else f"{reading.provenance}, {reading.source}"
        stale = " (stale)" if reading.freshness is Freshness.STALE else ""
        table.add_row(
            name.replace("_", " "), Text(format_value(reading) + stale, style=style), Text(origin, "dim")
        )
    return table


def _ladder(status: Status) -> Table:
    table = Table(box=None, pad_edge=False)
    for header in ("", "operating point", "certified risk", "accuracy", "p50"):
        table.add_column(header, no_wrap=True)
    demoted = {demotion.point for demotion in status.demotions}
    for rung in status.ladder:
        here = rung.name == status.point
        table.add_row(
            "▶" if here else " ",
            rung.name,
            "demoted: drifted" if rung.name in demoted else format_risk(rung.certified_risk),
            format_share(rung.accuracy),
            f"{rung.latency_p50_ms:.2f} ms",
            style="bold green" if here else "",
        )
    return table


def format_risk(certified_risk: float | None) -> str:
    """The certified bound as a share, or that there is none."""
    return "not certified" if certified_risk is None else f"≤ {certified_risk:.1%}"


def format_share(share: float | None) -> str:
    """A share in percent, or that it was not measured."""
    return "not measured" if share is None else f"{share:.1%}"


def _service(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    served, decision = status.served, status.decision
    if served is None or served.latency_p50_ms is None or served.latency_p95_ms is None:
        table.add_row("requests", Text("none in the last window", style="dim"))
    else:
        skipped = "no block to skip" if served.skip_ratio is None else f"{served.skip_ratio:.0%} of blocks skipped"
        table.add_row(
            "requests",
            f"{served.requests / served.window_s:.0f}/s, p50 {served.latency_p50_ms:.2f} ms, "
            f"p95 {served.latency_p95_ms:.2f} ms, {skipped}, "
            f"failed {served.failed}, turned away {served.turned_away}",
        )
    table.add_row("policy", f"{status.policy.name} version {status.policy.version} ({status.policy.origin})")
    if decision is not None:
        table.add_row("because", Text("; ".join((decision.reason, *decision.held_back))))
    table.add_row("mqtt", _telemetry(status.telemetry))
    worker = status.worker
    table.add_row("worker", f"{worker.state}, pid {worker.pid or 'none'}, {worker.restarts} restarts")
    return table


def _telemetry(telemetry: TelemetryStatus) -> str:
    where = f" at {telemetry.broker}" if telemetry.broker else ""
    if telemetry.dropped is None:
        return f"{telemetry.link}{where}: the spool can't be read"
    dropped = sum(telemetry.dropped.values())
    return (
        f"{telemetry.link}{where}: {telemetry.published} published, {telemetry.waiting} waiting, {dropped} dropped"
    )


def _events(status: Status) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=8)
    table.add_column(min_width=8)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for event in status.recent[-DECISIONS_SHOWN:]:
        table.add_row(
            Text(str(event["at"])[11:19], "dim"), Text(str(event["kind"]), "cyan"), Text(str(event["text"]))
        )
    return table
