"""The whole state is put together for a report only when something in the report is another."""

import asyncio
from pathlib import Path

from test_rendering import BUSY

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.events.journal import Journal
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.reporter import Reporter
from tidegate.telemetry.device import Device
from tidegate.telemetry.spool import Spool


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
