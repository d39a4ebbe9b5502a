"""Traces: what a bad file is told, and what lies between two rows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_drivers.reading import BATTERY, POWER, POWER_SOURCE, TEMPERATURE
from tidegate_drivers.trace import ReplayTrace, TraceError, Track

GOOD = "# assumed: nothing\ntime_s,battery_percent,power_source\n0,100,external\n10,50,battery\n"


def load(tmp_path: Path, text: str) -> ReplayTrace:
    path = tmp_path / "day.csv"
    path.write_text(text)
    return ReplayTrace.load(path)


def test_comments_optional_columns_and_empty_cells(tmp_path: Path) -> None:
    trace = load(tmp_path, GOOD + "20,,\n")
    assert (trace.name, trace.starts_s, trace.duration_s) == ("day", 0.0, 20.0)
    assert set(trace.tracks) == {BATTERY, POWER_SOURCE}
    assert trace.tracks[BATTERY].at(25.0) is None


def test_numbers_run_on_lines_and_words_in_steps(tmp_path: Path) -> None:
    tracks = load(tmp_path, GOOD).tracks
    assert tracks[BATTERY].at(5.0) == 75.0
    assert [tracks[POWER_SOURCE].at(time_s) for time_s in (9.99, 10.0)] == ["external", "battery"]


def test_loss_begins_at_its_row_and_ends_at_the_next_value() -> None:
    track = Track((0.0, 10.0, 20.0, 30.0), (50.0, None, 40.0, 30.0))
    assert [track.at(time_s) for time_s in (-1.0, 9.0, 10.0, 19.0, 20.0, 25.0, 99.0)] == [
        50.0, 50.0, None, None, 40.0, 35.0, 30.0,
    ]  # fmt: skip


tracks = st.lists(
    st.tuples(st.integers(0, 10_000), st.floats(0, 100)), min_size=1, unique_by=lambda row: row[0]
).map(lambda rows: Track(*zip(*((float(time_s), value) for time_s, value in sorted(rows)), strict=True)))


@given(tracks, st.floats(-100, 11_000))
def test_a_number_never_leaves_its_neighbours(track: Track, time_s: float) -> None:
    before = [value for at, value in zip(track.times_s, track.values, strict=True) if at <= time_s][-1:]
    after = [value for at, value in zip(track.times_s, track.values, strict=True) if at > time_s][:1]
    value = track.at(time_s)
    assert isinstance(value, float)
    assert min(before + after) - 1e-9 <= value <= max(before + after) + 1e-9


@given(tracks)
def test_every_row_is_played_as_written(track: Track) -> None:
    assert tuple(track.at(time_s) for time_s in track.times_s) == pytest.approx(track.values)


@pytest.mark.parametrize(
    ("text", "line", "column_and_found", "allowed"),
    [
        ("", 1, ("", "nothing"), "a header with time_s"),
        ("battery_percent\n1\n2\n", 1, ("", "battery_percent"), "a header with time_s"),
        ("time_s,batery_percent\n", 1, ("2", "'batery_percent'"), "did you mean battery_percent?"),
        ("time_s,power_w,power_w\n", 1, ("3", "power_w a second time"), "each column once"),
        (GOOD + "20,101,battery\n", 5, ("battery_percent", "'101'"), "a number of 0 to 100"),
        (GOOD + "20,nan,battery\n", 5, ("battery_percent", "'nan'"), "a number of 0 to 100"),
        (GOOD + "20,40,solar\n", 5, ("power_source", "'solar'"), "battery or external"),
        (GOOD + "20,40\n", 5, ("", "2 cells"), "3, as in the header"),
        (GOOD + "10,40,battery\n", 5, ("time_s", "10"), "more than 10"),
        (GOOD + ",40,battery\n", 5, ("time_s", "''"), "a number of seconds"),
        ("time_s,power_w\n0,1\n", 1, ("", "1 rows below the header"), "two or more"),
    ],
)
def test_bad_file_is_told_where_what_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, column_and_found: tuple[str, str], allowed: str
) -> None:
    with pytest.raises(TraceError) as caught:
        load(tmp_path, text)
    error = caught.value
    assert (error.line, (error.column, error.found)) == (line, column_and_found)
    assert allowed in error.allowed
    assert f"day.csv, line {line}" in str(error)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no readable file"):
        ReplayTrace.load(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"time_s\n\xff\n")
    with pytest.raises(TraceError, match="not UTF-8"):
        ReplayTrace.load(tmp_path / "binary.csv")


@given(st.text(max_size=200))
def test_any_text_is_a_trace_or_a_trace_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(("time_s,power_w\n" + text).encode("utf-8", "surrogatepass"))
    try:
        ReplayTrace.load(path)
    except TraceError:
        return


def test_every_column_is_known(tmp_path: Path) -> None:
    trace = load(
        tmp_path,
        "time_s,battery_percent,power_source,temperature_c,power_w\n0,1,battery,-5.5,2\n1,1,battery,4,2\n",
    )
    assert set(trace.tracks) == {BATTERY, POWER_SOURCE, TEMPERATURE, POWER}


def test_the_clock_is_the_comments_or_midnight(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).clock_s == 0.0
    assert load(tmp_path, "# clock: 06:30\n" + GOOD).clock_s == 6.5 * 3600
    with pytest.raises(TraceError, match=r"line 1: found 24:00; allowed: 00:00 to 23:59"):
        load(tmp_path, "# clock: 24:00\n" + GOOD)
