"""What the footprint bench makes of /proc: of a real process, and of one that is laid out as files."""

import os
import signal
import time
from pathlib import Path

import pytest

from tidegate_bench.broken import BrokenError
from tidegate_bench.footprint import bench
from tidegate_bench.footprint.agent import Started, configure, started
from tidegate_bench.footprint.idle import Idle, idle
from tidegate_bench.footprint.sample import Sample, sample

MIB = 1 << 20


def at(s: float, **more: float | None) -> Sample:
    told = {
        "pss_bytes": MIB,
        "rss_bytes": MIB,
        "private_bytes": MIB,
        "cpu_s": 0.0,
        "wakeups": 0,
        "written_bytes": 0,
    }
    return Sample(at_s=s, **{**told, **more})  # type: ignore[arg-type]  # numbers of both kinds by name


def test_a_real_process_is_read() -> None:
    first = sample(os.getpid())
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    time.sleep(0.01)
    second = sample(os.getpid())
    assert second.cpu_s > first.cpu_s
    assert second.wakeups > first.wakeups
    assert first.pss_bytes is not None
    assert first.rss_bytes is not None
    assert first.private_bytes is not None
    assert MIB < first.private_bytes <= first.pss_bytes <= first.rss_bytes


def test_what_the_kernel_does_not_tell_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "7/task/7").mkdir(parents=True)
    (tmp_path / "7/smaps_rollup").write_text("00400000-7ffe [rollup]\nRss:     2048 kB\n")
    (tmp_path / "7/stat").write_text("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0\n")
    (tmp_path / "7/task/7/status").write_text("Name:\tx\nvoluntary_ctxt_switches:\t42\n")
    found = sample(7, tmp_path)
    assert (found.pss_bytes, found.rss_bytes, found.private_bytes, found.written_bytes) == (
        None,
        2 * MIB,
        None,
        None,
    )
    assert (found.cpu_s * os.sysconf("SC_CLK_TCK"), found.wakeups) == (200, 42)
    shown = idle([found, at(found.at_s + 1, cpu_s=found.cpu_s)])
    assert shown.written_mb_per_day is None


def test_medians_shares_and_rates() -> None:
    samples = [
        at(0, pss_bytes=10_000_000, cpu_s=1.0, wakeups=100, written_bytes=0),
        at(5, pss_bytes=90_000_000, cpu_s=1.02, wakeups=80, written_bytes=50),
        at(10, pss_bytes=12_000_000, cpu_s=1.03, wakeups=130, written_bytes=1000),
    ]
    found = idle(samples)
    assert found.pss_mb == 12.0
    assert found.cpu_percent == pytest.approx(0.3)
    assert found.wakeups_per_s == 5.0
    assert found.written_mb_per_day == pytest.approx(8.64)
    with pytest.raises(ValueError, match="found 1 samples"):
        idle(samples[:1])


def test_a_missed_goal_is_missed_and_a_tmpfs_tells_nothing_of_writes() -> None:
    large = Idle(41.0, 50.0, 38.0, 0.1, 10.0, 5.0)
    figures = bench._figures(
        [Started(1, 2, 9.0, 9.0), Started(1, 2, 2.0, 4.0)], large, large, broker=True, disk=False
    )
    assert [goal.met for goal in figures.goals] == [False, True, False, True]
    assert figures.rows[0]["written_mb_per_day"] is None


@pytest.mark.slow
def test_an_agent_is_started_left_alone_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("QUICK_WARM_UP_S", 1.0), ("QUICK_MEASURED_S", 5.0), ("QUICK_STARTS", 1)):
        monkeypatch.setattr(bench, name, value)
    told: list[str] = []
    figures = bench.run(quick=True, progress=told.append)
    supervisor, worker = figures.rows[:2]
    for row in (supervisor, worker):
        assert 10 < float(row["pss_mb"] or 0) < 500
    assert all(goal.value is not None and goal.value > 0 for goal in figures.goals)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads /proc of Linux")
def test_an_agent_that_ends_is_named_by_its_exit_code(tmp_path: Path) -> None:
    def kill_and_measure() -> None:
        with started(configure(tmp_path, None)) as agent:
            os.kill(agent.supervisor_pid, signal.SIGKILL)
            until = time.monotonic() + 10.0
            while time.monotonic() < until:
                sample(agent.supervisor_pid)

    with pytest.raises(BrokenError, match="the agent ended with -9: "):
        kill_and_measure()
