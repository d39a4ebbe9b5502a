"""What does not work: told once for each change, shown for as long as it lasts."""

from pathlib import Path

import pytest

from tidegate.supervisor.events.event import Event
from tidegate.supervisor.state_directory import InUseError, held, session_number
from tidegate.supervisor.status.troubles import QUIET_S, Troubles, trouble_with_directory


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_trouble_is_told_once_and_its_end_once() -> None:
    events: list[Event] = []
    troubles = Troubles(events.append)
    said: list[str | None] = ["down", "down", "down", None, None]
    troubles.watch("broker", lambda: said.pop(0))
    while said:
        troubles.tell(troubles.ask())
    assert [event.text for event in events] == ["broker: down", "broker: works again"]
    assert troubles.now == ()


def test_another_reason_is_another_event_of_the_same_trouble() -> None:
    events: list[Event] = []
    troubles = Troubles(events.append)
    troubles.note("broker", "down")
    since = troubles.now[0].since
    troubles.note("broker", "wrong password")
    assert [event.text for event in events] == ["broker: down", "broker: wrong password"]
    assert [(trouble.because, trouble.since) for trouble in troubles.now] == [("wrong password", since)]


def test_what_comes_and_goes_is_told_again_only_after_a_while() -> None:
    events: list[Event] = []
    clock = Clock()
    troubles = Troubles(events.append, clock)
    for _ in range(100):
        troubles.note("broker", "taken over")
        assert troubles.now
        troubles.note("broker", None)
    assert len(events) == 2
    clock.now = QUIET_S + 1
    troubles.note("broker", "taken over")
    assert len(events) == 3


def test_a_directory_in_order_is_no_trouble(tmp_path: Path) -> None:
    assert trouble_with_directory(tmp_path) is None


def test_a_missing_directory_and_a_file_in_its_place_are(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing", tmp_path / "file", tmp_path / "file" / "below"):
        said = trouble_with_directory(path)
        assert said is not None
        assert str(path) in said


def test_the_directory_is_held_against_a_second_agent(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(InUseError, match="another agent"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_without_a_directory_the_agent_says_so_and_goes_on(
    tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with held(tmp_path / where):
        assert session_number(tmp_path / where / "session") > 1_700_000_000
    assert caplog.messages[0].startswith(f"{tmp_path / where}: the state directory can't be created: ")
    assert "set a state_dir in agent.yaml" in caplog.messages[0]


def test_a_lock_that_is_a_directory_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with held(tmp_path), pytest.raises(InUseError), held(tmp_path):
        pass
