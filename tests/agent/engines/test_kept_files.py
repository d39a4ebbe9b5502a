"""What engines keep beside a bundle: it makes no difference to any answer, and losing it costs time alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ranged_engine import RangedEngine

from tidegate.engines.engine import Engine
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Figures, OperatingPoint, Precision

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
CANARIES = BUNDLE.canaries()
KEEPING = [name for name in installed_engines() if name == "onnx"]
"""Engines that keep files: for the others it takes no longer to make them anew."""


def ranged(engine: Engine) -> RangedEngine:
    return RangedEngine(engine, BUNDLE, lambda: CANARIES.inputs)


def int8(engine: str) -> OperatingPoint:
    figures = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)
    return OperatingPoint("full", engine, figures, precision=Precision.INT8, skip=frozenset({"block_2"}))


@pytest.mark.parametrize("engine", KEEPING)
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
    fresh = ranged(open_engine(engine, BUNDLE)).prepare(point).run(CANARIES.inputs).outputs
    making = ranged(open_engine(engine, BUNDLE, tmp_path)).prepare(point).run(CANARIES.inputs).outputs
    assert [path for path in tmp_path.rglob("*") if path.suffix in {".onnx", ".safetensors"}]
    finding = ranged(open_engine(engine, BUNDLE, tmp_path)).prepare(point).run(CANARIES.inputs).outputs
    assert fresh.tobytes() == making.tobytes() == finding.tobytes()
