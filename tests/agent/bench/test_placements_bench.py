"""`tidegate bench placements` on engines that are here."""

from pathlib import Path

import numpy as np
import pytest

from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Precision
from tidegate.paths import profiles_directory
from tidegate_bench.placements import bench
from tidegate_bench.placements.points import points_of, with_points_for_all

DIGITS = profiles_directory() / "bundles" / "digits"


def test_every_engine_has_points_in_everybodys_arithmetic() -> None:
    bundle = with_points_for_all(open_bundle(DIGITS))
    for engine in ("coreml", "coreml-gpu", "coreai", "mlx", "eager"):
        points = points_of(bundle, engine)
        assert {point.precision for point in points} == {Precision.FP32, Precision.INT8, Precision.INT4}
        assert any(point.skip for point in points)
        assert all(point.engine == "eager" for point in points)
    assert {point.engine for point in points_of(bundle, "onnx")} == {"eager", "onnx"}


@pytest.mark.slow
def test_engines_are_loaded_timed_and_compared() -> None:
    figures = bench.run(engines=["eager", "onnx"], quick=True)
    rows = {(row["engine"], row["point"]): row for row in figures.rows}
    assert {engine for engine, _ in rows} == {"eager", "onnx"}
    for row in rows.values():
        assert row["reason"] == ""
        assert all(
            float(str(row[key])) > 0 for key in ("cold_ms", "warm_ms", "answer_ms", "cpu_ms", "resident_mib")
        )
    shared = [row for row in rows.values() if row["samples"] is not None]
    assert {row["engine"] for row in shared} == {"onnx"}
    assert {row["apart"] for row in shared} == {0}


def test_an_engine_that_answers_apart_is_counted_and_one_that_dies_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = with_points_for_all(open_bundle(DIGITS))

    def process(
        _bundle: object, name: str, _cache: Path, answers: Path, _most: int, _meter: str | None
    ) -> dict[str, bench.Row]:
        if name == "mlx":
            return {"": {"reason": "was killed"}}
        right = np.tile(np.arange(10.0, dtype=np.float32), (20, 1))
        wrong = right.copy()
        wrong[3] = wrong[3][::-1]
        np.save(answers / "0.npy", right if name == "eager" else wrong)
        return {"full": {"point": "full", "reason": "", "first_ms": 1.0, "answer_ms": 1.0}}

    monkeypatch.setattr(bench, "_process", process)
    figures = bench.run(engines=["eager", "onnx", "mlx"])
    rows = {(row["engine"], row["point"]): row for row in figures.rows}
    assert rows["onnx", "full"]["apart"] == 1
    assert rows["mlx", "full"]["reason"] == "was killed"
    assert rows["mlx", "full"]["apart"] is None
    assert not figures.goals[0].met
    assert len(points_of(bundle, "mlx")) == sum(engine == "mlx" for engine, _ in rows)
