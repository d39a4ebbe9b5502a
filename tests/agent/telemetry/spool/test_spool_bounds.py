"""The parts of the spool that need no disk: which rows go, and that every row is accounted for."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.spool.account import Account
from tidegate.telemetry.spool.bounds import MEMORY_BYTES, Bounds, batches, one_batch, to_free, too_old
from tidegate.telemetry.spool.memory import Memory
from tidegate.telemetry.spool.row import Row
from tidegate.telemetry.spool.stored import Stored

sizes = st.lists(st.integers(1, 40_000), max_size=200)


@given(sizes)
def test_every_row_goes_in_some_batch_in_order(found: list[int]) -> None:
    rows = list(enumerate(found))
    gone: list[int] = []
    while (batch := one_batch(rows[len(gone) :])).more:
        assert batch.seqs
        gone += batch.seqs
    assert [*gone, *batch.seqs] == list(range(len(found)))


@given(sizes, st.integers(1, 200_000))
def test_no_more_is_freed_than_is_wanted(found: list[int], wanted_bytes: int) -> None:
    seqs = to_free(((seq, 0.0, size) for seq, size in enumerate(found)), wanted_bytes)
    assert seqs == list(range(len(seqs)))
    assert sum(found[seq] for seq in seqs[:-1]) < wanted_bytes
    assert len(seqs) in (64, len(found)) or sum(found[: len(seqs)]) >= wanted_bytes


def test_only_the_front_is_too_old_and_a_time_that_is_none_is() -> None:
    rows: list[tuple[int, object, int]] = [(1, 5.0, 1), (2, b"?", 1), (3, 10.0, 1), (4, 5.0, 1)]
    assert too_old(rows, 10.0).seqs == [1, 2]


@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_batches_hold_all_rows_in_order(found: list[int]) -> None:
    rows = [Row(seq, "t", b"x" * size) for seq, size in enumerate(found)]
    assert [row for batch in batches(rows) for row in batch] == rows


@given(
    st.lists(st.tuples(st.integers(0, 300_000), st.floats(0, 200)), max_size=40),
    st.integers(1_000, 2 * MEMORY_BYTES),
)
def test_memory_keeps_within_its_bounds_and_accounts_for_every_row(
    found: list[tuple[int, float]], max_bytes: int
) -> None:
    memory, account, now = Memory(Bounds(max_bytes, 100.0)), Account(), 200.0
    for seq, (size, at) in enumerate(found):
        account = account.plus(memory.keep(Row(seq, "t", b"x" * size, at), now))
        assert memory.size_bytes <= min(max_bytes, MEMORY_BYTES)
    assert account.put == sum(account.dropped.values())
    assert account.put + len(memory) == len(found)
    assert [row.seq for row in memory] == sorted(row.seq for row in memory)


@given(st.integers(0, 20), st.integers(0, 20))
def test_rows_found_again_are_lost_no_longer(counted: int, found: int) -> None:
    """More may be found than were counted: then the account had lost sight of them."""
    before = Stored(Account(seq=5, put=counted).balanced(0))
    after = before.with_found([Row(seq, "t", b"") for seq in range(1, found + 1)], counted)
    assert after.account.waiting == after.rows == found
    assert after.account.put == max(counted, found)
    assert after.account.seq == max(5, found)
