"""Every point of the shipped ladder on a device without torch: runs, and answers as recorded at calibration."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tidegate.models.bundle import open_bundle

BUNDLE = Path(__file__).parents[3] / "profiles" / "bundles" / "digits"

pytestmark = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")

_PROGRAM = """
import sys
from pathlib import Path
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.engine import OnnxEngine
from tidegate.models.bundle import open_bundle

bundle = open_bundle(Path(sys.argv[1]))
canaries = bundle.canaries()
engine = OnnxEngine(bundle)
for point in bundle.ladder.points:
    try:
        variant = engine.prepare(point)
    except UnsupportedPoint as error:
        print(point.name, error)
        continue
    print(point.name, canaries.agreement(point.name, variant.run(canaries.inputs).outputs))
    variant.release()
print("torch" in sys.modules)
"""


def test_its_points_answer_as_recorded_the_others_are_refused_and_no_torch_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(BUNDLE)], capture_output=True, text=True, timeout=120, check=True
    )
    *lines, torch_loaded = done.stdout.splitlines()
    assert torch_loaded == "False"
    for line, point in zip(lines, open_bundle(BUNDLE).ladder.points, strict=True):
        if point.engine in {"eager", "onnx"}:
            assert line == f"{point.name} 1.0"
        else:
            assert f"certified on engine {point.engine}, whose arithmetic is its own" in line


def test_one_sample_alone_gets_the_answer_that_it_gets_in_a_batch() -> None:
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - an extra, which need not be installed

    bundle = open_bundle(BUNDLE)
    inputs = bundle.samples().inputs()[:60]
    engine = OnnxEngine(bundle)
    for point in bundle.ladder.points:
        if point.engine not in {"eager", "onnx"}:
            continue
        variant = engine.prepare(point)
        together = variant.run(inputs)
        alone = [variant.run(sample[None]) for sample in inputs]
        outputs = np.concatenate([answer.outputs for answer in alone])
        assert np.allclose(outputs, together.outputs, atol=1e-4 * np.abs(together.outputs).max())
        assert sum(answer.executed_blocks for answer in alone) == together.executed_blocks
        assert sum(answer.skipped_blocks for answer in alone) == together.skipped_blocks
