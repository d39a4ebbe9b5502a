"""Folded events: the first are told, the rest counted, and the sum is always right."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.events.folding import (
    ALL_EVERY_S,
    AT_ONCE,
    AT_ONCE_ALL,
    EVERY_S,
    FOLDED,
    MOST_SOURCES,
    Folding,
)


def fault(source: str = "input/people", text: str = "refused") -> Event:
    return Event(EventKind.FAULT, text, {"input": source}, source=source)


def stands_for(event: Event) -> int:
    return int(str(event.details.get("count", 1)))


def test_the_first_are_told_and_the_rest_together_with_count_first_and_last() -> None:
    folding = Folding()
    events = [fault(text=f"refused {number}") for number in range(1000)]
    told = [event for event in events if folding.admits(event, 100.0)]
    assert told == events[:AT_ONCE]
    assert list(folding.due(100.0 + EVERY_S / 2)) == []
    (folded,) = folding.due(100.0 + EVERY_S)
    assert folded.text.startswith(f"{1000 - AT_ONCE} times since ")
    assert folded.text.endswith("the last: refused 999")
    assert folded.at == events[-1].at
    assert folded.details["count"] == 1000 - AT_ONCE
    assert folded.details["first"] == events[AT_ONCE].at.isoformat(timespec="milliseconds")
    assert list(folding.due(100.0 + 2 * EVERY_S)) == []


def test_one_that_waits_alone_is_told_as_it_is() -> None:
    folding = Folding()
    events = [fault() for _ in range(AT_ONCE + 1)]
    for event in events:
        folding.admits(event, 0.0)
    assert list(folding.due(EVERY_S)) == [events[-1]]


def test_one_source_does_not_silence_another_but_all_together_have_a_bound() -> None:
    folding = Folding()
    for _ in range(1000):
        folding.admits(fault("input/junk"), 0.0)
    assert folding.admits(fault("input/people"), 0.0)
    told = sum(folding.admits(fault(f"input/{number}"), 0.0) for number in range(1000))
    assert told == AT_ONCE_ALL - AT_ONCE - 1
    assert folding.admits(fault("input/people"), AT_ONCE_ALL * ALL_EVERY_S)
    assert len(folding._sources) <= MOST_SOURCES + 1


def test_sources_take_turns_when_all_together_are_at_the_bound() -> None:
    folding, told = Folding(), set()
    for second in range(60):
        for source in range(20):
            folding.admits(fault(f"input/{source}"), float(second))
        told |= {event.source for event in folding.due(float(second))}
    assert told == {f"input/{source}" for source in range(20)}


def test_what_the_control_loop_paces_is_never_folded() -> None:
    folding = Folding()
    for kind in set(EventKind) - FOLDED:
        assert all(folding.admits(Event(kind, "x"), 0.0) for _ in range(1000))


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", *map(str, range(80))]), st.floats(0, 20), st.booleans()), max_size=300
    )
)
def test_every_event_is_told_or_counted_once(steps: list[tuple[str, float, bool]]) -> None:
    folding, told, now = Folding(), 0, 0.0
    for source, pause_s, look in steps:
        now += pause_s
        told += folding.admits(fault(source), now)
        if look:
            told += sum(stands_for(event) for event in folding.due(now))
    told += sum(stands_for(event) for event in folding.due(now, everything=True))
    assert told == len(steps)
    assert list(folding.due(now, everything=True)) == []
