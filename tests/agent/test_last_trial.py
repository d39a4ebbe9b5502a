"""What an installation or a unit leaves of a trial, and what the agent makes of it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.last_trial import (
    FILE_NAME,
    LAST_WORDS,
    LINE_CHARACTERS,
    MOST_LINES,
    LastTrial,
    as_json,
    failed,
    read_last_trial,
)

FAILED = failed("versions/2", "2026-11-28T12:00:00+00:00", "canary 3 got no answer", "one\n\ntwo \n")


@pytest.mark.parametrize("trial", [FAILED, LastTrial("versions/2", accepted=True, at="2026-11-28T12:00:00+00:00")])
def test_what_is_written_is_read(tmp_path: Path, trial: LastTrial) -> None:
    (tmp_path / FILE_NAME).write_text(as_json(trial))
    assert read_last_trial(tmp_path) == trial


def test_the_end_of_a_log_is_kept_and_nothing_more() -> None:
    kept = failed("v", "", "x" * 5000, "\n".join("y" * 1000 + str(number) for number in range(100))).last_words
    assert len(kept) == MOST_LINES
    assert {len(line) for line in kept} == {LINE_CHARACTERS}
    assert FAILED.last_words == ("one", "two")


def test_what_the_unit_left_is_newer_than_the_last_verdict(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(as_json(FAILED))
    (tmp_path / LAST_WORDS).write_text("versions/3 2026-11-29T00:00:00+00:00 it ended in failure\nthe end\n")
    trial = read_last_trial(tmp_path)
    assert trial == failed("versions/3", "2026-11-29T00:00:00+00:00", "it ended in failure", "the end")


@given(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda value: json.dumps(value).encode(),
            st.recursive(
                st.none() | st.booleans() | st.text(max_size=5),
                lambda inner: st.dictionaries(
                    st.sampled_from(["accepted", "version", "last_words", "at"]), inner, max_size=4
                ),
            ),
        ),
    )
)
def test_no_content_of_the_files_stops_an_agent(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    prefix = tmp_path_factory.mktemp("prefix")
    for name in (FILE_NAME, LAST_WORDS):
        (prefix / name).write_bytes(content)
        read_last_trial(prefix)
        (prefix / name).unlink()
    assert read_last_trial(prefix) is None
