"""The watchdog is fed by steps and, during a long one, by the worker's answers; never past what can be mended."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate.supervisor.watchdog import LONGEST_STEP_S, Watchdog


class Fed:
    def __init__(self, listening: socket.socket) -> None:
        self.now, self.stuck = 0.0, False
        self.watchdog = Watchdog(lambda: self.stuck, lambda: self.now)
        self._listening = listening

    def heard(self) -> str:
        try:
            return self._listening.recv(4096).decode()
        except BlockingIOError:
            return ""


@pytest.fixture
def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fed]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield Fed(systemd)


def test_a_step_feeds_it(fed: Fed) -> None:
    fed.watchdog.step_begins()
    fed.watchdog.step_done("full, worker serving")
    assert fed.heard() == "WATCHDOG=1\nSTATUS=full, worker serving"


def test_a_worker_that_can_not_be_mended_starves_it(fed: Fed) -> None:
    fed.stuck = True
    fed.watchdog.step_done("full, worker serving")
    assert fed.heard() == "STATUS=full, worker serving: neither answers nor ends, a restart is needed"


def test_answers_feed_it_during_a_long_step_but_not_for_ever(fed: Fed) -> None:
    fed.watchdog.worker_answered()
    assert fed.heard() == "", "no step is under way: it is the step that counts"
    fed.watchdog.step_begins()
    fed.now = LONGEST_STEP_S - 1
    fed.watchdog.worker_answered()
    assert fed.heard() == "WATCHDOG=1"
    fed.now = LONGEST_STEP_S + 1
    fed.watchdog.worker_answered()
    assert fed.heard() == ""
