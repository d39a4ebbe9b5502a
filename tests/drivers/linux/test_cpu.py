"""CPU utilisation from /proc/stat."""

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.cpu import discover
from tidegate_drivers.sensor import SensorError

WriteTree = Callable[[str], Path]

#                      user nice system idle iowait irq softirq steal guest guest_nice
FIRST = "proc/stat: cpu  100  0    100  700  100    0   0       0     50    0\\ncpu0 1 1 1 1"


def test_share_of_busy_time_between_two_reads(write_tree: WriteTree) -> None:
    (cpu,) = discover(write_tree(FIRST)).sensors
    with pytest.raises(SensorError, match="two reads"):
        cpu.read()
    write_tree("proc/stat: cpu 130 0 110 740 110 0 0 10 80 0")
    assert cpu.read() == pytest.approx(50.0)  # 50 of 100 ticks; guest time is in user time already


@pytest.mark.parametrize(
    "second",
    ["cpu 100 0 100 700 100 0 0 0 50 0", "cpu 100 0 100 600 100 0 0 0 0 0", "cpu 150 0 100 690 100 0 0 0 0 0"],
    ids=["no time passed", "counters restarted", "idle stepped back"],
)
def test_counters_that_give_no_share(write_tree: WriteTree, second: str) -> None:
    (cpu,) = discover(write_tree(FIRST)).sensors
    with pytest.raises(SensorError):
        cpu.read()
    write_tree(f"proc/stat: {second}")
    with pytest.raises(SensorError, match=r"no share in that|not moved"):
        cpu.read()


@pytest.mark.parametrize("text", ["", "intr 1 2 3 4 5 6", "cpu 1 2", "cpu a b c d e f g h"])
def test_other_text_is_refused(write_tree: WriteTree, text: str) -> None:
    found = discover(write_tree(f"proc/stat: {text}"))
    assert found.sensors == ()
    assert found.unavailable[0].name == "cpu"


@pytest.mark.skipif(platform.system() != "Linux", reason="/proc/stat is Linux's")
def test_this_machine() -> None:
    (cpu,) = discover().sensors
    with pytest.raises(SensorError, match="two reads"):
        cpu.read()
    for _ in range(10_000_000):  # spin until a tick has passed
        try:
            share = cpu.read()
        except SensorError:
            continue
        assert isinstance(share, float)
        assert 0.0 <= share <= 100.0
        return
    pytest.fail("no tick in ten million reads")
