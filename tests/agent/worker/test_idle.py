"""Memory goes back to the system when a worker that was asked no longer is, once."""

from dataclasses import replace

from tidegate.messages import Served
from tidegate.worker.idle import IdleMemory

SILENT = Served(1, 1.0, 0, 0, 0, None, None, None, 0)


def test_once_after_each_time_it_was_asked() -> None:
    given: list[int] = []
    memory = IdleMemory(lambda: given.append(1))
    memory.after(SILENT)
    assert not given, "nothing was asked, so nothing was freed"
    for window in (replace(SILENT, requests=1), replace(SILENT, failed=1), replace(SILENT, turned_away=1)):
        before = len(given)
        memory.after(window)
        memory.after(window)
        assert len(given) == before, "gave back what the next request wants"
        for _ in range(3):
            memory.after(SILENT)
        assert len(given) == before + 1
