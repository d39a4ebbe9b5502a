"""Telemetry that waits is thinned: what was summed stays true, what may have been sent stays as it is."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tidegate.telemetry.payloads.window import Window, parse_window
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.spool.account import Account, open_account, seal_account
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.thinner import _UNCERTAIN_ROWS
from tidegate.telemetry.spool.thinning import PRESSED, TIERS, Waiting, groups

TOPIC, EVENT = "tidegate/cam-1/telemetry", "tidegate/cam-1/event"
HOUR, DAY = 3600.0, 86400.0
NOW = 20_000 * DAY


def window(at: float, requests: int = 1, s: float = 10.0) -> dict[str, object]:
    celsius = 20.0 + at % 50
    return Window(
        at, s, "full", 7, "serving", 0, 0, requests=requests, energy_j=1.5, readings={"temperature": celsius}
    ).to_document()


def fill(spool: Spool, seconds: float, every_s: float = 10.0, until: float = NOW) -> int:
    """Windows as an agent puts them while its broker is away; how many."""
    count = int(seconds / every_s)
    for number in range(count):
        at = until - (count - 1 - number) * every_s
        spool.put(TOPIC, window(at, s=every_s), at)
    return count


def windows_in(spool: Spool) -> list[tuple[Row, Window]]:
    found = []
    for row in spool.after(0, 100_000):
        if row.topic == TOPIC:
            one = parse_window(row.payload)
            assert one is not None
            assert one.seq == row.seq
            found.append((row, one))
    return found


def balanced(spool: Spool) -> bool:
    c = spool.counters
    assert c is not None
    return c.put == c.acknowledged + sum(c.dropped.values()) + c.merged + c.waiting


@given(
    st.lists(st.tuples(st.floats(0, 3 * DAY), st.integers(1, 200_000)), max_size=200),
    st.sampled_from((TIERS, *PRESSED)),
)
def test_a_group_is_of_neighbours_in_one_interval_that_is_over(
    found: list[tuple[float, int]], tiers: object
) -> None:
    rows = [Waiting(seq, TOPIC, NOW - age_s, size) for seq, (age_s, size) in enumerate(found)]
    assert isinstance(tiers, tuple)
    seen: list[int] = []
    for group in groups(rows, NOW, tiers):
        seqs = [row.seq for row in group]
        assert seqs == list(range(seqs[0], seqs[-1] + 1))
        assert 2 <= len(seqs) <= 64
        assert len(seqs) == 2 or sum(row.size_bytes for row in group[:-1]) <= 128 << 10
        spread_s = max(row.at for row in group) - min(row.at for row in group)
        youngest_s = NOW - max(row.at for row in group)
        assert any(spread_s < tier.every_s and youngest_s >= tier.older_than_s for tier in tiers)
        seen += seqs
    assert seen == sorted(set(seen))


def test_an_hour_stays_as_it_is_then_five_minutes_are_one_window(quick_path: Path) -> None:
    spool = Spool(quick_path / "spool.db", 10**7, 7 * DAY)
    put = fill(spool, 2 * HOUR)
    found = windows_in(spool)
    assert [one.s for _, one in found if one.at > NOW - HOUR] == [10.0] * 360
    # The first 32 rows of a spool that is opened may have been on their way; here there were none.
    assert {one.s for _, one in found if HOUR + 600 < NOW - one.at < 2 * HOUR - 600} == {300.0}
    assert sum(one.requests or 0 for _, one in found) == put
    assert sum(one.energy_j or 0 for _, one in found) == 1.5 * put
    assert sum(one.s for _, one in found) == 10.0 * put
    five = next(one for _, one in found if one.windows == 30)
    assert five.low["temperature"] < float(five.readings["temperature"]) < five.high["temperature"]
    assert balanced(spool)


def test_three_days_away_are_hours_and_fit_into_little(quick_path: Path) -> None:
    spool = Spool(quick_path / "spool.db", 10**7, 7 * DAY)
    put = fill(spool, 3 * DAY, every_s=300.0)
    spool.thin(NOW)
    found = windows_in(spool)
    assert {one.s for _, one in found if 25 * HOUR < NOW - one.at < 70 * HOUR} == {3600.0}
    assert len(found) < 12 + 300 + 60
    assert sum(one.requests or 0 for _, one in found) == put
    counters = spool.counters
    assert counters is not None
    assert (counters.dropped, counters.merged) == ({}, put - len(found))
    assert balanced(spool)


def test_a_full_spool_merges_then_drops_telemetry_and_events_at_last(quick_path: Path) -> None:
    spool = Spool(quick_path / "spool.db", 40_000, 7 * DAY)
    for number in range(40):
        spool.put(EVENT, {"text": f"event {number}"}, NOW - HOUR)
    put = fill(spool, 40 * 60.0)
    counters = spool.counters
    assert counters is not None
    assert counters.dropped == {}, "windows of the last hour are merged where room is short"
    assert sum(one.requests or 0 for _, one in windows_in(spool)) == put
    for number in range(200):
        spool.put(EVENT, {"text": f"event {number} " + "x" * 100}, NOW)
    assert windows_in(spool) == [], "telemetry went before any event did"
    for number in range(20):
        spool.put(EVENT, {"text": "y" * 2000, "number": number}, NOW)
    left = [json.loads(row.payload)["seq"] for row in spool.after(0, 1000)]
    assert left == list(range(left[0], left[-1] + 1)), "of events the oldest go"
    assert balanced(spool)


def test_windows_of_another_form_are_left_alone(quick_path: Path) -> None:
    spool = Spool(quick_path / "spool.db", 10**7, 7 * DAY)
    for number in range(80):
        spool.put(TOPIC, {"operating_point": "full"}, NOW - 3 * HOUR + number)
    for _ in range(3):
        spool.thin(NOW)
    assert len(spool.after(0, 1000)) == 80
    assert balanced(spool)


def test_an_older_release_finds_an_account_that_balances() -> None:
    account = Account(9, 9, 2, {"age": 1}).with_merged(4)
    sealed = seal_account(account)
    assert json.loads(sealed[8:])["dropped"] == {"age": 1, "merged": 4}
    assert open_account(sealed) == account
    assert account.waiting == 2


def test_a_kill_amid_thinning_costs_nothing(quick_path: Path) -> None:
    path = quick_path / "spool.db"
    code = (
        "import sys; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_thinning import window, TOPIC, NOW\n"
        "from tidegate.telemetry.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]), 10**7, 1e12)\n"
        "at = NOW\n"
        "while True:\n"
        "    spool.put(TOPIC, window(at), at); print(1, flush=True); at += 60.0; spool.thin(at + 7200)\n"
    )
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = sum(1 for _ in zip(range(90), child.stdout, strict=False))
        child.kill()
        told += len(child.stdout.read().splitlines())
        child.stdout.close()
        child.wait()
        spool = Spool(path, 10**7, 1e12)
        requests = sum(one.requests or 0 for _, one in windows_in(spool))
        assert told <= requests <= told + 1
        assert balanced(spool)
        assert spool.counters is not None
        assert spool.counters.merged > 0
        for row, _ in windows_in(spool):
            spool.acknowledge(row.seq)
        spool.close()


@contextmanager
def quick_directory() -> Iterator[Path]:
    in_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as directory:
        yield Path(directory)


class ThinnedSpool(RuleBasedStateMachine):
    """Nothing is counted twice or lost while rows are put, thinned, handed out, acknowledged, over restarts."""

    @initialize()
    def begin(self) -> None:
        self.held = quick_directory()
        self.path = self.held.__enter__() / "spool.db"
        self.spool = Spool(self.path, 10**7, 1e12)
        self.now = NOW
        self.put_requests = self.acknowledged_requests = 0
        self.handed: dict[int, bytes] = {}

    @rule(count=st.integers(1, 60), every_s=st.sampled_from((1.0, 60.0, 400.0)))
    def put(self, count: int, every_s: float) -> None:
        for number in range(count):
            self.now += every_s
            self.spool.put(TOPIC, window(self.now, number), self.now)
            self.put_requests += number

    @rule()
    def put_event(self) -> None:
        self.spool.put(EVENT, {"text": "x"}, self.now)

    @rule(hours=st.sampled_from((1, 5, 30)))
    def time_passes(self, hours: int) -> None:
        self.now += hours * HOUR
        self.spool.thin(self.now)

    @rule(limit=st.integers(1, 16))
    def hand_out(self, limit: int) -> None:
        behind = max(self.handed, default=0)
        # A link never has more in flight, and a spool that is opened again relies on that.
        limit = min(limit, _UNCERTAIN_ROWS - len(self.handed))
        if limit > 0:
            self.handed |= {row.seq: row.payload for row in self.spool.after(behind, limit) if row.topic == TOPIC}

    @rule(share=st.integers(1, 3))
    def acknowledge(self, share: int) -> None:
        for seq in [seq for seq in self.handed if seq % share == 0]:
            one = parse_window(self.handed.pop(seq))
            assert one is not None
            assert not self.spool.acknowledge(seq)
            self.acknowledged_requests += one.requests or 0

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = Spool(self.path, 10**7, 1e12)

    @precondition(lambda self: hasattr(self, "spool"))
    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert balanced(self.spool)
        with_payload = self.spool._change(
            lambda database, stored: (
                stored,
                [Row(*row) for row in database.execute("SELECT seq, topic, payload, at FROM row ORDER BY seq")],
            )
        )
        assert with_payload is not None
        rows = {row.seq: row.payload for row in with_payload}
        waiting = [one for payload in rows.values() if (one := parse_window(payload)) is not None]
        counted = sum(one.requests or 0 for one in waiting)
        assert counted + self.acknowledged_requests == self.put_requests
        assert all(rows[seq] == payload for seq, payload in self.handed.items())

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            self.held.__exit__(None, None, None)


TestThinnedSpool = ThinnedSpool.TestCase
TestThinnedSpool.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
