"""Why a worker ended, in words that say what to do."""

from pathlib import Path

import pytest

from tidegate.supervisor.worker.cause import cause, oom_kills


@pytest.mark.parametrize(
    ("returncode", "told"),
    [
        (1, "it ended with code 1; the log says why"),
        (-9, "killed by signal 9 (SIGKILL) from outside"),
        (-11, "killed by signal 11 (SIGSEGV): the engine's code crashed; the crash report says where"),
        (-4, "set another worker.engine"),
        (-15, "killed by signal 15 (SIGTERM)"),
        (-99, "killed by signal 99"),
    ],
)
def test_each_end_has_a_sentence(returncode: int, told: str) -> None:
    assert told in cause(returncode, {"vmstat": 3}, {"vmstat": 3})


@pytest.mark.parametrize("counted", ["vmstat", "cgroup"])
def test_a_kill_that_the_kernel_counts_is_for_want_of_memory(tmp_path: Path, counted: str) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/system.slice/tidegate.service").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/system.slice/tidegate.service\n")
    files = {
        "vmstat": tmp_path / "proc/vmstat",
        "cgroup": tmp_path / "sys/fs/cgroup/system.slice/tidegate.service/memory.events",
    }
    for file in files.values():
        file.write_text("oom 1\noom_kill 7\noom_kill_other 9\n")
    before = oom_kills(tmp_path)
    assert before == {"vmstat": 7, "cgroup": 7}
    assert "from outside" in cause(-9, before, oom_kills(tmp_path))
    files[counted].write_text("oom 2\noom_kill 8\n")
    assert "set worker.memory_limit" in cause(-9, before, oom_kills(tmp_path))


def test_a_system_that_counts_nothing_blames_nothing(tmp_path: Path) -> None:
    assert oom_kills(tmp_path) == {}
    assert "from outside" in cause(-9, {}, {})
