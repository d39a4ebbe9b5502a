"""The data of a day: never more in any 24 hours, events before telemetry, and no new allowance after a kill."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.link.data_budget import PACKET_OVERHEAD_BYTES, DataBudget
from tidegate.telemetry.link.outbox import Outbox
from tidegate.telemetry.spool import Spool

DAY = 86_400.0
NOW = 20_000 * DAY


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@given(
    st.integers(100_000, 10**7),
    st.lists(st.tuples(st.floats(0, 20_000), st.integers(0, 2000), st.booleans()), max_size=100),
)
def test_no_24_hours_take_more_than_a_day_s_data(per_day: int, wanted: list[tuple[float, int, bool]]) -> None:
    clock = Clock()
    budget = DataBudget(per_day, clock=clock)
    sent: list[tuple[float, int]] = []
    for pause_s, size, telemetry in wanted:
        clock.now += pause_s
        while len(sent) < 5000 and budget.allows(telemetry=telemetry):
            budget.spend(size)
            sent.append((clock.now, size + PACKET_OVERHEAD_BYTES))
    for number, (began, _) in enumerate(sent):
        within = [cost for at, cost in sent[number:] if at - began < DAY]
        # The last message may go with what is left for a part of it.
        assert sum(within) <= per_day + 2000 + PACKET_OVERHEAD_BYTES
        if number > 50:
            break


def test_events_have_a_reserve_that_telemetry_leaves() -> None:
    budget = DataBudget(1_000_000, clock=Clock())
    while budget.allows(telemetry=True):
        budget.spend(1000)
    assert budget.allows(telemetry=False)
    while budget.allows(telemetry=False):
        budget.spend(1000)
    assert budget.left_bytes <= 0


def test_a_day_of_telemetry_is_spread_over_it() -> None:
    clock = Clock()
    budget = DataBudget(1_000_000, clock=clock)
    per_hour = []
    for _ in range(24):
        clock.now += 3600
        count = 0
        while budget.allows(telemetry=True):
            budget.spend(880)
            count += 1
        per_hour.append(count)
    assert sum(per_hour) >= 750
    assert max(per_hour[1:]) - min(per_hour[1:]) <= 2


def test_a_kill_makes_no_new_allowance(tmp_path: Path) -> None:
    clock = Clock()
    sent = 0
    for _ in range(200):
        budget = DataBudget(100_000, tmp_path / "data_budget", clock)
        while budget.allows(telemetry=False):
            budget.spend(380)
            sent += 500
            if sent % 4 == 0:
                break
    assert sent <= 25_500


def test_a_clock_that_was_set_back_ends_no_telemetry(tmp_path: Path) -> None:
    clock = Clock()
    budget = DataBudget(100_000, tmp_path / "data_budget", clock)
    budget.spend(1000)
    clock.now = 1000.0
    again = DataBudget(100_000, tmp_path / "data_budget", clock)
    assert not again.allows(telemetry=False)
    clock.now += DAY
    assert again.allows(telemetry=True)


def test_the_outbox_holds_back_rows_but_not_the_status(tmp_path: Path) -> None:
    clock = Clock()
    spool = Spool(tmp_path / "spool.db", 10**7, 1e12)
    budget = DataBudget(20_000, clock=clock)
    outbox = Outbox(spool, budget)
    outbox.connected(65_535, None, session_present=True)
    for kind in ("telemetry", "event"):
        for _ in range(10):
            spool.put(f"tidegate/cam-1/{kind}", {"text": "x" * 500}, NOW)
    outbox.retain("tidegate/cam-1/status", b"{}")
    kinds = []
    for mid in range(1, 30):
        message = outbox.next(0.0)
        if message is None:
            break
        kinds.append(message.topic.rsplit("/", 1)[-1])
        outbox.sent(mid, message)
    assert kinds[0] == "status"
    assert 3 < kinds.count("event") < 10
    assert "telemetry" not in kinds
    outbox.retain("tidegate/cam-1/status", b'{"state":"offline"}')
    clock.now += 600
    again = Outbox(spool, budget)
    again.connected(65_535, None, session_present=True)
    again.retain("tidegate/cam-1/status", b"{}")
    message = again.next(0.0)
    assert message is not None
    assert message.topic.endswith("status")
    spool.close()
