"""Threads of an answer may wait awake while it is made; between answers none does."""

import json
import subprocess
import sys

import pytest

from agent.engines.catalog import installed_engines
from agent.models.bundle import open_bundle
from agent.paths import profiles_directory

SHIPPED = profiles_directory() / "bundles" / "digits"
PAUSE_S = 0.1
MOST_S = 0.02
"""Of processor time in a pause. Threads that spin on take all of it, or ONNX Runtime's some 40 ms."""

CHILD = """
import dataclasses, json, sys, time
from pathlib import Path
from agent.engines.catalog import open_engine
from agent.models.bundle import open_bundle

bundle = open_bundle(Path(sys.argv[1]))
engine = open_engine(sys.argv[2], bundle, spin=sys.argv[3] == "spin")
variant = engine.prepare(dataclasses.replace(bundle.ladder.full, threads=2))
inputs = bundle.canaries().inputs
pauses = []
for _ in range(9):
    variant.run(inputs)
    before = time.process_time()
    time.sleep(float(sys.argv[4]))
    pauses.append(time.process_time() - before)
print(json.dumps({"pause_s": sorted(pauses)[4], "answers": variant.run(inputs).outputs.argmax(1).tolist()}))
"""


TORCH_CHILD = """
import sys, time
from agent.engines.waiting import wait_briefly

if sys.argv[1] == "briefly":
    wait_briefly()
import torch

torch.set_num_threads(2)
values = torch.ones(4_000_000)
pauses = []
for _ in range(15):
    values.add_(1)
    before = time.process_time()
    time.sleep(0.15)
    pauses.append(time.process_time() - before)
print(sorted(pauses)[7])
"""


@pytest.mark.parametrize(("engine", "waiting"), [("onnx", "sleep"), ("onnx", "spin"), ("packed", "sleep")])
def test_between_two_answers_no_thread_computes(engine: str, waiting: str) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(SHIPPED), engine, waiting, str(PAUSE_S)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    said = json.loads(child.stdout)
    assert said["pause_s"] < MOST_S
    assert said["answers"] == open_bundle(SHIPPED).canaries().top1["full"].tolist()


@pytest.mark.skipif(sys.platform != "linux", reason="torch's threads are libgomp's on Linux alone")
def test_torch_s_threads_sleep_soon_after_their_work() -> None:
    pytest.importorskip("torch")

    def pause_s(waiting: str) -> float:
        command = [sys.executable, "-c", TORCH_CHILD, waiting]
        return float(subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout)

    # On a machine with other work to do, threads that should spin are not always left to.
    assert any(pause_s("briefly") < 0.6 * pause_s("as libgomp does") for _ in range(3))
