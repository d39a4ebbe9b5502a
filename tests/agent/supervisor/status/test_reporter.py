"""The whole state is put together for a report only when something in the report is another."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from agent_states import BUSY, SNAPSHOT

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.events.journal import Journal
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.reporter import DESCRIBE_S, Reporter
from tidegate.telemetry.device import Device
from tidegate.telemetry.payloads.window import Window, parse_window
from tidegate.telemetry.spool import Spool
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit


def test_an_unchanged_state_is_asked_for_once(tmp_path: Path) -> None:
    assert asyncio.run(asked_for(tmp_path)) == ["full", "int8"]


async def asked_for(directory: Path) -> list[str]:
    spool = Spool(directory / "spool.db", 1 << 20, 3600.0)
    link = BrokerLink(spool)
    journal = Journal(Device("gate", (), 1).topics, spool, link.wake, ())
    points = ["full"]
    asked: list[str] = []

    def state() -> AgentState:
        asked.append(points[-1])
        return BUSY

    reporter = Reporter(journal, link, state, lambda: (points[-1],))
    for _ in range(3):
        reporter.report()
    points.append("int8")
    for _ in range(3):
        reporter.report()
    await asyncio.to_thread(journal.close, 5.0)
    spool.close()
    return asked


def metered(joules: float | None, uptime_s: float) -> AgentState:
    """The agent with a meter that shows so many joules; None for one that can't be read."""
    known = joules is not None
    provenance = Provenance.MEASURED if known else Provenance.UNAVAILABLE
    energy = Reading(joules, Unit.JOULE, 100.0, provenance, "rapl", reason="" if known else "busy")
    return replace(BUSY, uptime_s=uptime_s, snapshot=Snapshot(100.0, {"energy": energy}))


async def windows_of(states: Sequence[AgentState], directory: Path) -> list[Window | None]:
    """The windows that are spooled as the agent goes through `states`."""
    spool = Spool(directory / "spool.db", 1 << 20, 1e12)
    link = BrokerLink(spool)
    journal = Journal(Device("gate", (), 1).topics, spool, link.wake, ())
    left = list(states)
    reporter = Reporter(journal, link, lambda: left.pop(0), tuple)
    for _ in states:
        reporter.send_window()
    await asyncio.to_thread(journal.close, 5.0)
    rows = spool.after(0, 100)
    spool.close()
    return [parse_window(row.payload) for row in rows]


@pytest.mark.parametrize(
    ("totals", "joules"),
    [
        ((100.0, 130.0, 131.5), [None, 30.0, 1.5]),
        # What was used while the meter was silent is in the next window that knows.
        ((100.0, None, 131.5), [None, None, 31.5]),
        ((None, 100.0, 90.0), [None, None, None]),
    ],
)
def test_a_window_holds_the_joules_since_the_last_that_knew(
    totals: tuple[float | None, ...], joules: list[float | None], tmp_path: Path
) -> None:
    states = [metered(total, 10.0 * count) for count, total in enumerate(totals, start=1)]
    windows = asyncio.run(windows_of(states, tmp_path))
    assert [window and window.energy_j for window in windows] == joules
    assert [window and window.s for window in windows] == [10.0, 10.0, 10.0]


def test_what_readings_are_is_told_at_the_first_window_and_then_now_and_then(tmp_path: Path) -> None:
    other = replace(BUSY, snapshot=Snapshot(100.0, {}))

    async def described() -> list[int]:
        spool = Spool(tmp_path / "spool.db", 1 << 20, 1e12)
        link = BrokerLink(spool)
        journal = Journal(Device("gate", (), 1).topics, spool, link.wake, ())
        state, told = [BUSY], []
        link.report = lambda document: told.append(len(document["readings"]))
        reporter = Reporter(journal, link, lambda: state[0], tuple)
        for each in (BUSY, other, replace(other, uptime_s=BUSY.uptime_s + DESCRIBE_S)):
            reporter.report()
            state[0] = each
            reporter.send_window()
        reporter.report()
        await asyncio.to_thread(journal.close, 5.0)
        spool.close()
        return told

    assert len(SNAPSHOT.readings) == 3
    assert asyncio.run(described()) == [0, 2, 0]
