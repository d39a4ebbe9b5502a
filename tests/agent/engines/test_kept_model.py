"""int8 models in files as ONNX Runtime has optimized them: shared, made again when damaged, never in the way."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ranged_engine import RangedEngine, with_ranges
from small_disk import run_on_small_disk

from tidegate.engines.onnxruntime.model_cache import PlainModel, open_kept
from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, OnnxNode, ValueInfo
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Figures, OperatingPoint, Precision

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
INPUTS = BUNDLE.canaries().inputs
POINT = OperatingPoint(
    "int8", "onnx", Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1), precision=Precision.INT8
)


def ranged(directory: Path | None) -> RangedEngine:
    return RangedEngine(open_engine("onnx", BUNDLE, directory), BUNDLE, lambda: INPUTS)


def test_points_that_differ_in_threads_share_their_files(tmp_path: Path) -> None:
    for threads in (1, 2):
        ranged(tmp_path).prepare(replace(POINT, threads=threads))
    assert len([*tmp_path.rglob("graph.onnx")]) == 1


@pytest.mark.parametrize("damaged", ["graph.onnx", "graph.weights"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_kept_model_that_was_cut_short_is_made_again(
    tmp_path: Path, damaged: str, left: int, caplog: pytest.LogCaptureFixture
) -> None:
    def answer() -> bytes:
        return ranged(tmp_path).prepare(POINT).run(INPUTS).outputs.tobytes()

    expected = answer()
    (path,) = tmp_path.rglob(damaged)
    whole = path.stat().st_size
    os.truncate(path, left)
    assert answer() == expected
    assert "is damaged and made again" in caplog.text
    assert path.stat().st_size == whole


def test_a_place_that_takes_no_model_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file where a directory would go")
    graph = OnnxGraph(
        "partition",
        [OnnxNode("Identity", ("x",), ("y",))],
        [ValueInfo("x", ElementType.FLOAT, (1,))],
        [ValueInfo("y", ElementType.FLOAT, (1,))],
    )
    for directory in (tmp_path / "model", Path("/proc/nowhere/model"), None):
        session = open_kept(Cache(tmp_path), directory, lambda: PlainModel.of(graph), None, threads=1, spin=False)
        assert session.run(None, {"x": np.ones(1, np.float32)})[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


_ON_SMALL_DISKS = """
import pickle, subprocess, sys
from pathlib import Path
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
bundle, points = open_bundle(Path(BUNDLE)), pickle.loads(Path(POINTS).read_bytes())
inputs = bundle.canaries().inputs
def answered(point, directory):
    return open_engine("onnx", bundle, directory).prepare(point).run(inputs).outputs.tobytes()
expected = [answered(point, None) for point in points]
for size in ("20k", "60k", "140k"):
    disk = Path(size)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", size], check=True)
    for point, answer in zip(points, expected, strict=True):
        for _ in range(2):
            assert answered(point, disk.absolute() / "cache") == answer, (size, point)
assert "torch" not in sys.modules, "which takes seconds"
"""


def test_a_disk_without_room_costs_no_answer(tmp_path: Path) -> None:
    gated = replace(POINT, precision=Precision.FP32, thresholds={"block_3": 0.4, "block_4": 0.5})
    points, disk = tmp_path / "points", tmp_path / "disk"
    points.write_bytes(pickle.dumps((with_ranges(POINT, BUNDLE, INPUTS), gated)))
    disk.mkdir()
    given = f"BUNDLE, POINTS = {str(BUNDLE.path)!r}, {str(points)!r}"
    run_on_small_disk(f"{given}\n{_ON_SMALL_DISKS}", disk, "200k")
