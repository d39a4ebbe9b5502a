"""What engines keep beside a bundle: it makes no difference to any answer, and losing it costs time alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tidegate.engines.plan.quantization import Range
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.engines.runtime.registry import installed_engines, open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Figures, OperatingPoint, Precision

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
CANARIES = BUNDLE.canaries()
NATIVE = [name for name in installed_engines() if name != "eager"]


def int8(engine: str) -> OperatingPoint:
    figures = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)
    return OperatingPoint("full", engine, figures, precision=Precision.INT8, skip=frozenset({"block_2"}))


@pytest.mark.parametrize("engine", NATIVE)
@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"thresholds": {"block_3": 0.4, "block_4": 0.5}},
        {"layer_precision": {"stem.conv": Precision.FP32, "block_4.conv1": Precision.FP32}},
    ],
    ids=["one graph", "gates, each block a graph of its own", "some layers in fp32, which lie in the bundle"],
)
def test_answers_are_the_same_with_and_without_kept_files(
    tmp_path: Path, engine: str, knobs: dict[str, Any]
) -> None:
    point = replace(int8(engine), **knobs)
    fresh = open_engine(engine, BUNDLE).prepare(point).run(CANARIES.inputs).outputs
    making = open_engine(engine, BUNDLE, tmp_path).prepare(point).run(CANARIES.inputs).outputs
    assert [path for path in tmp_path.rglob("*") if path.suffix in {".onnx", ".safetensors"}]
    finding = open_engine(engine, BUNDLE, tmp_path).prepare(point).run(CANARIES.inputs).outputs
    assert fresh.tobytes() == making.tobytes() == finding.tobytes()


def test_ranges_survive_the_file(tmp_path: Path) -> None:
    spans = {"a/b": Range(-0.1, 1 / 3), "": Range(0.0, 1e-9)}
    assert NetworkCache(Cache(tmp_path)).ranges("full", lambda: spans) == spans
    assert NetworkCache(Cache(tmp_path)).ranges("full", dict) == spans
    assert NetworkCache(Cache(tmp_path)).ranges("other", dict) == {}


def test_a_directory_that_takes_nothing_is_no_fault() -> None:
    assert NetworkCache(Cache(Path("/proc/nowhere"))).ranges("a", dict) == {}
