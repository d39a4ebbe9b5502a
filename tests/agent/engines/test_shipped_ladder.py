"""Every point of the shipped ladder on a device without torch: runs, and answers as recorded at calibration."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from agent.models.bundle import open_bundle

BUNDLE = Path(__file__).parents[3] / "profiles" / "bundles" / "digits"

pytestmark = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")

_PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from agent.engines.onnx.engine import OnnxEngine
from agent.models.bundle import open_bundle

bundle = open_bundle(Path(sys.argv[1]))
canaries = bundle.canaries()
engine = OnnxEngine(bundle, lambda: canaries.inputs)
for point in bundle.ladder.points:
    for arithmetic in (point, replace(point, engine="onnx")):
        variant = engine.prepare(arithmetic)
        print(point.name, arithmetic.engine, canaries.agreement(point.name, variant.run(canaries.inputs).outputs))
        variant.release()
print("torch" in sys.modules)
"""


def test_all_points_answer_as_recorded_and_no_torch_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(BUNDLE)], capture_output=True, text=True, timeout=120, check=True
    )
    *lines, torch_loaded = done.stdout.splitlines()
    assert torch_loaded == "False"
    agreement = {tuple(line.split()[:2]): float(line.split()[2]) for line in lines}
    names = [point.name for point in open_bundle(BUNDLE).ladder.points]
    assert [agreement[name, "eager"] for name in names] == [1.0] * len(names)
    # Integer arithmetic of its own: no certificate says so, a trained net's canaries still should.
    assert min(agreement[name, "onnx"] for name in names) >= 0.9
