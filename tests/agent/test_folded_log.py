"""The log under a flood: what is equal is counted, what is not has a rate, and nothing goes unsaid."""

import io
import logging

from tidegate.folded_log import BURST_BYTES, BYTES_PER_S, FOLDED_S, FoldingHandler


class Log:
    def __init__(self) -> None:
        self.now = 0.0
        self.stream = io.StringIO()
        self.handler = FoldingHandler(self.stream, clock=lambda: self.now)

    def say(self, message: str, *arguments: object, level: int = logging.WARNING) -> None:
        self.handler.handle(logging.LogRecord("agent.test", level, __file__, 1, message, arguments, None))

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


def test_equal_lines_are_written_once_and_counted() -> None:
    log = Log()
    for place in range(1000):
        log.say("client %d left", place)
    assert log.lines == ["client 0 left"]
    log.now = FOLDED_S + 1
    log.handler.tick()
    assert log.lines == ["client 0 left", "999 more times in 61 s, the last: client 999 left"]
    log.say("client %d left", 7)
    assert log.lines[2:] == ["client 7 left"]


def test_what_came_once_is_not_mentioned_again() -> None:
    log = Log()
    log.say("started")
    log.now = FOLDED_S + 1
    log.handler.tick()
    assert log.lines == ["started"]


def test_different_levels_are_different_lines() -> None:
    log = Log()
    log.say("disk", level=logging.INFO)
    log.say("disk", level=logging.ERROR)
    assert log.lines == ["disk", "disk"]


def test_a_flood_of_different_lines_has_a_rate_and_its_end_is_said() -> None:
    log = Log()
    seconds = 600
    for place in range(seconds * 50):
        log.now = place / 50
        log.say(f"line {place} of a flood that is different each time")
        log.handler.tick()
    assert len(log.stream.getvalue()) <= BURST_BYTES + seconds * BYTES_PER_S
    log.now += BURST_BYTES / BYTES_PER_S
    log.handler.tick()
    assert "lines were left out" in log.lines[-1]


def test_by_text_only_the_very_same_line_is_folded() -> None:
    log = Log()
    log.handler = FoldingHandler(log.stream, clock=lambda: log.now, by_text=True)
    for place in (1, 1, 2):
        log.say("client %d left", place)
    assert log.lines == ["client 1 left", "client 2 left"]
