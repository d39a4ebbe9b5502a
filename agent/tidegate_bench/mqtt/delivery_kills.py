"""Days of telemetry by a device that is killed all the time, past brokers that die and a network that tears."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.payloads.window import parse_window
from tidegate.telemetry.spool.file import is_telemetry
from tidegate_bench.broken import BrokenError
from tidegate_bench.mqtt.delivering_device import Shift, drain, work
from tidegate_bench.mqtt.killed_child import die_in_sqlite, forked, was_killed
from tidegate_bench.mqtt.recorded_packets import Published, Record
from tidegate_bench.mqtt.torn_network import TornNetwork, Weather

HOURS = 72.0
BEGINS_AT = 1_800_000_000.0
WINDOWS_PER_SHIFT = 12
SQLITE_STEPS = 600
"""A shift has about so many steps inside SQLite, at one of which it is killed."""
KILLED_WITHIN_S = 0.15
SHIFT_S = 20.0
DRAIN_S = 120.0
STRETCH, SHORTEST_STRETCH = 0.03, 4
"""Of all kills, so many come under the same circumstances: two hours of 72, in which windows are merged."""


class Trouble(StrEnum):
    """Circumstances of a stretch of kills, in this order."""

    NONE = "none"
    BROKER_DOWN = "broker killed"
    CUT = "network cut"
    FORGETFUL = "broker without persistence killed"
    HALF_OPEN = "network half-open"
    DISK_FULL = "disk full"
    SLOW = "network slow"
    AWAY = "network away"

    @property
    def next(self) -> "Trouble":
        """The one after it, and the first after the last."""
        every = tuple(Trouble)
        return every[(every.index(self) + 1) % len(every)]


WEATHER = {
    Trouble.CUT: Weather.CUT,
    Trouble.HALF_OPEN: Weather.HALF_OPEN,
    Trouble.SLOW: Weather.SLOW,
    Trouble.AWAY: Weather.AWAY,
}


@dataclass(slots=True)
class Told:
    """What devices said before they died: rows on the disk by seq, and how many were begun, by kind (`e`, `t`)."""

    stored: dict[int, str] = field(default_factory=dict)
    begun: Counter[str] = field(default_factory=Counter)
    unstored: int = 0

    def read(self, text: bytes) -> bool:
        """All of one device, whose last line may be torn; whether it came to the end of its shift."""
        ended = False
        for line in text.split(b"\n")[:-1]:
            first, *rest = line.decode().split()
            if first == ".":
                ended = True
            elif first == "?":
                self.begun[rest[0]] += 1
            elif rest[1] == "1":
                self.stored[int(first)] = rest[0]
            else:
                self.unstored += 1
        return ended


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a device's rows. `kills` are by circumstances, `inside` of them in a transaction of SQLite.

    `lost` were on the disk and never reached the broker, `doubled` were told twice under different numbers, and
    `rewritten` are numbers that were sent with different contents, with these.
    """

    kills: Mapping[Trouble, int]
    inside: int
    stored: int
    unstored: int
    sent: int
    duplicates: int
    merged: int
    dropped: int
    lost: int
    doubled: int
    rewritten: tuple[str, ...]
    torn: Mapping[Weather, int]


def deliver(directory: Path, kills: int, chance: Random, progress: Callable[[str], None]) -> Delivery:
    """Kill a device so often while it delivers 72 hours of windows and events.

    Raises BrokenError, LocalBrokerError. The caller must have one thread.
    """
    told, counted, inside = Told(), Counter[Trouble](), 0
    step_s = HOURS * 3600 / kills
    broker = LocalBroker(directory / "broker", settings=("max_inflight_messages 0",))
    state = directory / "device"
    state.mkdir()
    broker.start()
    try:
        with TornNetwork(broker.port, chance) as network:
            trouble = Trouble.NONE
            for number in range(kills):
                if number and number % max(SHORTEST_STRETCH, round(kills * STRETCH)) == 0:
                    trouble = trouble.next
                    bring_about(trouble, broker, directory / "broker", network)
                    progress(f"delivery: {number} of {kills} kills; now: {trouble}")
                shift = Shift(
                    BEGINS_AT + number * step_s,
                    WINDOWS_PER_SHIFT,
                    step_s / WINDOWS_PER_SHIFT,
                    disk_full=trouble is Trouble.DISK_FULL,
                )
                inside += _killed_in_shift(state, network, shift, told, chance, in_sqlite=number % 2 == 0)
                counted[trouble] += 1
            bring_about(Trouble.NONE, broker, directory / "broker", network)
            end = _told_by(network, lambda descriptor: drain(state, network.port, descriptor, DRAIN_S), DRAIN_S)
    finally:
        broker.stop()
    if not end.strip():
        raise BrokenError("the spool can't be read at the end")
    waiting, merged, dropped = map(int, end.split())
    return judged(told, network.record, waiting, merged, dropped, kills=counted, inside=inside, torn=network.torn)


def judged(
    told: Told,
    record: Record,
    waiting: int,
    merged: int,
    dropped: int,
    *,
    kills: Mapping[Trouble, int],
    inside: int,
    torn: Mapping[Weather, int],
) -> Delivery:
    """Hold what devices said against what passed; `waiting` to `dropped` are the spool's own counts at the end."""
    contents: dict[int, set[bytes]] = {}
    for published in rows_of(record.sent):
        contents.setdefault(seq_of(published), set()).add(published.payload)
    reached = {seq_of(published): published for published in rows_of(record.acknowledged)}
    events = {seq for seq, kind in told.stored.items() if kind == "e"}
    windows = len(told.stored) - len(events)
    # A merged window has the number of its last part, so that windows are counted by what is in them.
    arrived = sum(_windows_in(published) for published in reached.values())
    lost = len(events - reached.keys()) + max(0, windows - arrived) + waiting
    return Delivery(
        kills=kills,
        inside=inside,
        stored=len(told.stored),
        unstored=told.unstored,
        sent=len(rows_of(record.sent)),
        duplicates=len(rows_of(record.sent)) - len(contents),
        merged=merged,
        dropped=dropped,
        lost=max(0, lost - dropped),
        doubled=max(0, arrived - told.begun["t"]),
        rewritten=tuple(
            f"{seq}: {' or '.join(sorted(payload.decode(errors='replace') for payload in each))}"
            for seq, each in contents.items()
            if len(each) > 1
        ),
        torn=torn,
    )


def rows_of(published: Sequence[Published]) -> list[Published]:
    """Those that come from a spool."""
    return [each for each in published if each.topic.endswith(("/telemetry", "/event"))]


def seq_of(published: Published) -> int:
    """The number that a spool gave to a row."""
    return int(json.loads(published.payload)["seq"])


def _windows_in(published: Published) -> int:
    if not is_telemetry(published.topic):
        return 0
    window = parse_window(published.payload)
    if window is None:
        raise BrokenError(f"a window that can't be read was published: {published.payload[:200]!r}")
    return window.windows


def bring_about(trouble: Trouble, broker: LocalBroker, saved: Path, network: TornNetwork) -> None:
    """Have these circumstances from now on; `saved` is the directory of what the broker saves."""
    network.weather = WEATHER.get(trouble, Weather.FAIR)
    network.hang_up()
    broker.kill()
    if trouble is Trouble.FORGETFUL:
        for file in saved.glob("*.db*"):
            file.unlink()
    if trouble is not Trouble.BROKER_DOWN:
        broker.start()


def _killed_in_shift(
    state: Path, network: TornNetwork, shift: Shift, told: Told, chance: Random, *, in_sqlite: bool
) -> bool:
    """One life of the device; whether it ended in the middle of a transaction."""
    step, pause = chance.randint(1, SQLITE_STEPS), Random(chance.random())  # noqa: S311 - no secret

    def act(descriptor: int) -> None:
        if in_sqlite:
            die_in_sqlite(step)
        work(state, network.port, shift, descriptor, pause)
        os.kill(os.getpid(), signal.SIGKILL)

    text = _told_by(network, act, SHIFT_S, None if in_sqlite else chance.uniform(0.0, KILLED_WITHIN_S))
    return not told.read(text) and in_sqlite


def _told_by(
    network: TornNetwork, act: Callable[[int], None], deadline_s: float, kill_after_s: float | None = None
) -> bytes:
    """What a device in a fork tells on its descriptor, while the network goes on. Raises BrokenError."""
    reading, writing = os.pipe()
    pid = forked(lambda: act(writing))
    os.close(writing)
    network.watch(reading)
    began_at, killed, text = time.monotonic(), False, bytearray()
    try:
        while True:
            if not killed and kill_after_s is not None and time.monotonic() - began_at >= kill_after_s:
                os.kill(pid, signal.SIGKILL)
                killed = True
            if time.monotonic() - began_at > deadline_s + SHIFT_S:
                os.kill(pid, signal.SIGKILL)
                raise BrokenError(f"a simulated device did not end within {deadline_s:g} s")
            if reading in network.step(0.01 if kill_after_s is None else 0.002):
                if not (told := os.read(reading, 65_536)):
                    return bytes(text)
                text += told
    finally:
        network.forget(reading)
        os.close(reading)
        was_killed(pid)
        network.hang_up()
