"""Where the pool threads of ONNX Runtime go: strong processors, one thread each, none where there are too few."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.engines.onnxruntime.thread_affinity import Processor, affinities, own_processors


def alike(count: int) -> dict[int, Processor]:
    return {number: Processor(0, shares_core=False) for number in range(count)}


@pytest.mark.parametrize(
    ("threads", "processors", "expected"),
    [
        (1, alike(4), None),
        (2, alike(2), "2"),
        (4, alike(4), "4;3;2"),
        (3, alike(2), None),
        (2, {}, None),
        # Four small cores, then four large ones; two large ones before two small ones.
        (3, {n: Processor(1024 if n > 3 else 400, shares_core=False) for n in range(8)}, "8;7"),
        (2, {n: Processor(1024 if n < 2 else 400, shares_core=False) for n in range(4)}, "2"),
        # Two threads a core, numbered in pairs.
        (3, {n: Processor(0, shares_core=n % 2 == 1) for n in range(4)}, "3;1"),
        (4, {n: Processor(0, shares_core=n % 2 == 1) for n in range(4)}, "3;1;4"),
        # What a service was given is not always from 0.
        (2, {n: Processor(0, shares_core=False) for n in (5, 7)}, "8"),
    ],
)
def test_placing(threads: int, processors: dict[int, Processor], expected: str | None) -> None:
    assert affinities(threads, processors) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="processors are read from sysfs")
def test_processors_are_read_as_the_kernel_tells_them(tmp_path: Path) -> None:
    for number in os.sched_getaffinity(0):
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{number - number % 2}-{number - number % 2 + 1}\n")
        (tmp_path / f"cpu{number}" / "cpu_capacity").write_text("446\n")
    found = own_processors(tmp_path)
    assert found == {n: Processor(446, shares_core=n % 2 == 1) for n in os.sched_getaffinity(0)}
    nothing = own_processors(tmp_path / "nothing")
    assert nothing == {n: Processor(0, shares_core=False) for n in os.sched_getaffinity(0)}
    assert own_processors().keys() == os.sched_getaffinity(0)


_POOL = """
import os
import time
from pathlib import Path
from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, OnnxNode, ValueInfo, model_bytes
from tidegate.engines.onnxruntime.session import open_session

def threads():
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}

x, y = ValueInfo("x", ElementType.FLOAT, (1,)), ValueInfo("y", ElementType.FLOAT, (1,))
model = model_bytes(OnnxGraph("partition", [OnnxNode("Identity", ("x",), ("y",))], [x], [y]))
before = threads()
session = open_session(model, None, threads=2)
# The thread places itself when it first runs, which may be after the session has opened.
give_up = time.monotonic() + 30
while True:
    found = [sorted(os.sched_getaffinity(thread)) for thread in threads() - before]
    if [len(each) for each in found] == [1] or time.monotonic() > give_up:
        break
    time.sleep(0.01)
print(found)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads and their processors are read from /proc")
@pytest.mark.skipif(len(own_processors()) < 2, reason="this machine has one processor, so nothing is placed")
def test_a_session_s_pool_thread_runs_where_it_was_put() -> None:
    done = subprocess.run([sys.executable, "-c", _POOL], capture_output=True, text=True, check=True)
    placed = affinities(2, own_processors())
    assert placed is not None
    assert done.stdout.strip() == f"[[{int(placed) - 1}]]"
