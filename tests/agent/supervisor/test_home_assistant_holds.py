"""What comes in over MQTT for Home Assistant: of a flood the last one counts, and what is old is refused."""

import asyncio
from pathlib import Path

from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.home_assistant import HomeAssistant
from tidegate.telemetry.link.connection import OnHeard
from tidegate.telemetry.payloads.home_assistant import STATUS
from tidegate.telemetry.spool import Spool

HOLD = "tidegate/cam-1/command/hold"


class HeardLink(BrokerLink):
    """A link without a broker that says what it was asked to hear."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool)
        self.topics: dict[str, OnHeard] = {}

    def hear(self, topic: str, heard: OnHeard) -> None:
        self.topics[topic] = heard


class HeldControl:
    """Takes every hold."""

    point = "full"
    may_hold = ("full", "int8")

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def hold(self, point: str | None) -> str:
        self.asked.append(point)
        return ""


async def heard(directory: Path, *, enabled: bool, may_hold: bool, messages: list[tuple[bytes, bool]]):
    spool = Spool(directory / "spool.db", 1 << 20, 3600.0)
    link, control, told, windows = HeardLink(spool), HeldControl(), [], []

    async def again() -> None:
        windows.append(1)

    agent = HomeAssistant(
        directory,
        link,
        control,
        lambda: None,
        lambda event: told.append(event.text),
        enabled=enabled,
        may_hold=may_hold,
        models=tuple,
        again=again,
    )
    agent.listen("cam-1")
    for payload, retained in messages:
        link.topics[HOLD](payload, retained)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    spool.close()
    return link, control, told


def test_only_what_agent_yaml_allows_is_heard(tmp_path: Path) -> None:
    for enabled, may_hold, topics in (
        (False, False, set()),
        (True, False, {STATUS}),
        (False, True, {HOLD}),
        (True, True, {STATUS, HOLD}),
    ):
        link, _, _ = asyncio.run(heard(tmp_path, enabled=enabled, may_hold=may_hold, messages=[]))
        assert link.topics.keys() == topics


def test_names_here_and_policy_are_taken(tmp_path: Path) -> None:
    messages = [(b"int8", False), (b"here", False), (b"policy", False)]
    _, control, told = asyncio.run(heard(tmp_path, enabled=False, may_hold=True, messages=messages))
    assert (control.asked, told) == (["int8", "full", None], [])


def test_a_hold_that_the_broker_had_kept_is_refused(tmp_path: Path) -> None:
    _, control, told = asyncio.run(heard(tmp_path, enabled=False, may_hold=True, messages=[(b"int8", True)]))
    assert control.asked == []
    assert "nobody knows how old" in told[0]


def test_of_a_flood_the_last_one_counts(tmp_path: Path) -> None:
    async def flooded() -> list[str | None]:
        link, control, _ = await heard(tmp_path, enabled=False, may_hold=True, messages=[])
        for number in range(10_000):
            link.topics[HOLD](b"x" * 1000 if number % 2 else b"int8", False)
        link.topics[HOLD](b"full", False)
        await asyncio.sleep(0.01)
        return control.asked

    assert asyncio.run(flooded()) == ["full"]
