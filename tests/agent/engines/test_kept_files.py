"""What engines keep beside a bundle: it makes no difference to any answer, and losing it costs time alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidegate.engines.catalog import installed_engines, open_engine
from tidegate.engines.int8_store import Int8Store
from tidegate.engines.network_cache import NetworkCache
from tidegate.engines.quantization import WEIGHT_LIMIT, Range, quantize_weight
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Figures, OperatingPoint, Precision

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
CANARIES = BUNDLE.canaries()
NATIVE = [name for name in installed_engines() if name != "eager"]


def int8(engine: str) -> OperatingPoint:
    figures = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)
    return OperatingPoint("full", engine, figures, precision=Precision.INT8, skip=frozenset({"block_2"}))


def test_mapped_weights_are_the_quantized_ones(tmp_path: Path) -> None:
    store = Int8Store(BUNDLE, WEIGHT_LIMIT, tmp_path / "new" / "int8.safetensors")
    plain = Int8Store(BUNDLE, WEIGHT_LIMIT, None)
    for name in [name for name, shape in BUNDLE.weight_shapes.items() if len(shape) > 1]:
        expected = quantize_weight(BUNDLE.weights([name])[name], WEIGHT_LIMIT)
        for found in (store.weight(name), plain.weight(name)):
            assert np.array_equal(found.codes, expected.codes)
            assert np.array_equal(found.scales, expected.scales)
    store.drop_pages()
    assert np.array_equal(store.weight(name).codes, expected.codes)


def test_the_high_nibble_of_every_code_is_an_int4(tmp_path: Path) -> None:
    codes = Int8Store(BUNDLE, WEIGHT_LIMIT, tmp_path / "int8.safetensors").weight("block_1.conv1.weight").codes
    nibbles = np.rint(codes / 16)
    assert nibbles.min() >= -7
    assert nibbles.max() <= 7


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
    assert NetworkCache(tmp_path).ranges("full", lambda: spans) == spans
    assert NetworkCache(tmp_path).ranges("full", dict) == spans
    assert NetworkCache(tmp_path).ranges("other", dict) == {}


def test_a_check_runs_until_it_has_passed(tmp_path: Path) -> None:
    runs = []

    def check() -> None:
        runs.append(1)
        if len(runs) < 2:
            raise ValueError("not yet")

    with pytest.raises(ValueError, match="not yet"):
        NetworkCache(tmp_path).pass_once("a", check)
    for _ in range(3):
        NetworkCache(tmp_path).pass_once("a", check)
    assert len(runs) == 2


def test_a_directory_that_takes_nothing_is_no_fault() -> None:
    assert NetworkCache(Path("/proc/nowhere")).ranges("a", dict) == {}
    weight = Int8Store(BUNDLE, WEIGHT_LIMIT, Path("/proc/nowhere/int8.safetensors")).weight("stem.conv.weight")
    assert weight.codes.dtype == np.int8
