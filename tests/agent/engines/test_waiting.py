"""Threads of an answer may wait awake while it is made; between answers none does."""

import json
import os
import subprocess
import sys

import pytest

from tidegate.engines.runtime.installed import installed_engines
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory

SHIPPED = profiles_directory() / "bundles" / "digits"
PAUSE_S = 0.1
MOST_S = 0.02
"""Of processor time in a pause. Threads that spin on take all of it, or ONNX Runtime's some 40 ms."""

CHILD = """
import dataclasses, json, sys, time
from pathlib import Path
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle

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
import os, sys, types
from pathlib import Path
from tidegate.engines.runtime import registry as catalog
from tidegate.engines.runtime import thread_spin as waiting
from tidegate.models.bundle import open_bundle

events = []
told = waiting.wait_briefly
catalog.wait_briefly = lambda: (events.append("told"), told())
# In place of the engine, which takes seconds to load torch.
opened = lambda bundle: events.append("opened")
sys.modules["tidegate.engines.reference.eager"] = types.SimpleNamespace(EagerEngine=opened)
catalog.open_engine("eager", open_bundle(Path(sys.argv[1])), spin=sys.argv[2] == "spin")
assert "torch" not in sys.modules, "or it was there too early"
print(*events, os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(("engine", "waiting"), [("onnx", "sleep"), ("onnx", "spin")])
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


@pytest.mark.parametrize(
    ("waiting", "user", "said"),
    [
        ("sleep", None, "told opened 30000"),
        ("sleep", "7", "told opened 7"),
        ("spin", None, "opened None"),
    ],
)
def test_torch_s_threads_are_told_before_torch_is_there(waiting: str, user: str | None, said: str) -> None:
    pytest.importorskip("torch")
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    child = subprocess.run(
        [sys.executable, "-c", TORCH_CHILD, str(SHIPPED), waiting],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        env=environment | ({} if user is None else {"GOMP_SPINCOUNT": user}),
    )
    assert child.stdout.strip() == said
