"""The last verdicts: newest first, never more than are kept, none told twice; and their file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.updates.outcome import (
    Accepted,
    Deferred,
    Rejected,
    Repeated,
    RolledBack,
    UpdateResult,
)
from tidegate.supervisor.updates.verdicts import FILE_NAME, MOST_KEPT, REASON_LIMIT, VerdictFile, remembered
from tidegate.telemetry.payloads.reported import PastVerdict
from tidegate.trust.refusal import Refusal

versions = st.integers(1, 30)
results = st.one_of(
    versions.map(lambda version: Accepted(version, "ab", "night")),
    st.builds(Rejected, versions, st.just("ab"), st.just("x" * 1000), st.sampled_from(Refusal)),
    versions.map(lambda version: RolledBack(version, "ab", "harm")),
    versions.map(lambda version: Deferred(version, "ab", "full disk")),
    versions.map(lambda version: Repeated(version, "ab", "harm")),
)


@given(st.lists(results, max_size=60))
def test_each_verdict_is_there_once_and_the_newest_is_first(arrived: list[UpdateResult]) -> None:
    verdicts: tuple[PastVerdict, ...] = ()
    judged = 0
    for at_s, result in enumerate(arrived):
        before, verdicts = verdicts, remembered(verdicts, result, at_s)
        if isinstance(result, Deferred | Repeated):
            assert verdicts == before
            continue
        judged += 1
        assert (verdicts[0].version, verdicts[0].at_s) == (result.version, at_s)
    assert len({(each.version, each.state, each.refusal) for each in verdicts}) == len(verdicts) <= MOST_KEPT
    assert [each.at_s for each in verdicts] == sorted((each.at_s for each in verdicts), reverse=True)
    assert sum(each.count for each in verdicts) <= judged
    if len(verdicts) < MOST_KEPT:
        assert sum(each.count for each in verdicts) == judged
    assert all(len(each.reason) <= REASON_LIMIT for each in verdicts)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'[{"version": "x"}]', b"\xff"])
def test_a_file_that_holds_nonsense_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    file = VerdictFile(tmp_path)
    assert file.read() == ()
    kept = remembered((), Accepted(3, "ab", "night"), 7)
    file.write(kept)
    assert VerdictFile(tmp_path).read() == kept
