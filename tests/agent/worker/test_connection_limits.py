"""The register of connections: who goes when room is needed, and what lasts too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.worker.http.connections import DEADLINES_S, MAX_UNREAD_BYTES, UNREAD_S, Connections, Stage
from tidegate.worker.http.open_files import MAX_CONNECTIONS, connection_limit

LIMIT = 8


class Line:
    """A connection that only remembers what was done to it."""

    def __init__(self, register: Connections) -> None:
        self.stage, self.since, self.unread_since = Stage.ARRIVED, 0.0, None
        self.unread_bytes = 0
        self.ended = ""
        self._register = register

    def expire(self) -> None:
        self.ended = "expired"
        self._register.left(self)

    def abort(self) -> None:
        self.ended = "aborted"


class Hall:
    """A register with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.register = Connections(LIMIT, clock=lambda: self.now)

    def open(self, *stages: Stage) -> Line:
        assert self.register.can_enter()
        self.register.enter()
        line = Line(self.register)
        self.register.arrived(line)
        self.register.entered()
        for stage in stages:
            self.register.moved(line, stage)
        self.now += 0.001
        return line


def test_the_one_that_has_waited_longest_makes_room() -> None:
    hall = Hall()
    lines = [hall.open() for _ in range(LIMIT + 3)]
    assert [line.ended for line in lines] == ["aborted"] * 3 + [""] * LIMIT
    assert len(hall.register) == LIMIT


def test_those_that_never_finish_a_request_go_before_those_that_were_answered() -> None:
    hall = Hall()
    answered = [hall.open(Stage.ANSWERING, Stage.KEPT) for _ in range(4)]
    unfinished = [hall.open(stage) for stage in (Stage.HEAD, Stage.BODY, Stage.ARRIVED)]
    for _ in range(40):
        hall.open(Stage.HEAD)
    assert not any(line.ended for line in answered)
    assert all(line.ended for line in unfinished)


def test_a_few_requests_on_their_way_are_worth_more_than_kept_connections() -> None:
    hall = Hall()
    uploading = hall.open(Stage.BODY)
    kept = [hall.open(Stage.ANSWERING, Stage.KEPT) for _ in range(LIMIT - 1)]
    hall.open(Stage.ANSWERING, Stage.KEPT)
    assert kept[0].ended == "aborted"
    assert not uploading.ended


def test_nobody_who_is_being_answered_goes() -> None:
    hall = Hall()
    lines = [hall.open(Stage.ANSWERING) for _ in range(LIMIT)]
    assert not hall.register.can_enter()
    hall.register.moved(lines[3], Stage.KEPT)
    hall.open(Stage.ANSWERING)
    assert [line for line in lines if line.ended] == [lines[3]]


@pytest.mark.parametrize("stage", DEADLINES_S)
def test_a_stage_ends_at_its_deadline_whatever_trickles_in(stage: Stage) -> None:
    hall = Hall()
    line = hall.open(stage)
    began = line.since
    hall.now = began + DEADLINES_S[stage] - 0.01
    hall.register.sweep()
    assert not line.ended
    hall.now = began + DEADLINES_S[stage] + 0.01
    hall.register.sweep()
    assert line.ended == "expired"


def test_an_answer_may_take_as_long_as_the_lane_needs() -> None:
    hall = Hall()
    line = hall.open(Stage.ANSWERING)
    hall.now = 1e6
    hall.register.sweep()
    assert not line.ended


def test_who_does_not_read_is_cut_off() -> None:
    hall = Hall()
    line = hall.open(Stage.ANSWERING)
    line.unread_bytes = 5
    for hall.now in (1.0, 1.0 + UNREAD_S - 0.1):
        hall.register.sweep()
        assert not line.ended
    hall.now = 1.0 + UNREAD_S + 0.1
    hall.register.sweep()
    assert line.ended == "aborted"


def test_what_nobody_reads_is_bounded_over_all() -> None:
    hall = Hall()
    lines = [hall.open(Stage.ANSWERING) for _ in range(6)]
    for line in lines:
        line.unread_bytes = MAX_UNREAD_BYTES // 4
    hall.register.sweep()
    assert sum(line.unread_bytes for line in lines if not line.ended) <= MAX_UNREAD_BYTES


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(Stage)), max_size=60))
def test_the_limit_holds_whatever_happens(moves: list[tuple[int, Stage]]) -> None:
    hall = Hall()
    lines: list[Line] = []
    for index, stage in moves:
        if index < len(lines):
            hall.register.moved(lines[index], stage)
        elif hall.register.can_enter():
            lines.append(hall.open(stage))
        open_ones = [line for line in lines if not line.ended]
        assert len(hall.register) == len(open_ones) <= LIMIT


@given(st.integers(16, 100_000), st.integers(3, 40))
def test_the_limit_leaves_files_for_everything_else(files: int, in_use: int) -> None:
    limit = connection_limit(files, in_use)
    assert 4 <= limit <= MAX_CONNECTIONS
    if files >= 2 * in_use + 16:
        assert limit + in_use + files // 100 < files
