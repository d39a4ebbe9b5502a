"""`tidegate bench apple`: every function that Apple's runtimes are given, how large and how far off it is.

Core ML packages are interpreted with numpy, MLX programs and Core AI assets are executed, all against eager at the
same point. None is a figure of a Mac.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tidegate import child
from tidegate.engines.coreai.asset import write_asset
from tidegate.engines.coreai.engine import CoreAiEngine
from tidegate.engines.coreai.graph_builder import Dtype
from tidegate.engines.coreml.package import write_package
from tidegate.engines.coreml.point_functions import formats_of, functions_of
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.engine import Array, UnsupportedPoint, Variant
from tidegate.engines.functions.pipeline import FunctionPipeline
from tidegate.engines.functions.ready_point import ready_stages
from tidegate.engines.mlx.engine import MlxEngine
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.paths import profiles_directory
from tidegate_bench.apple.mil_interpreter import InterpretedPackage
from tidegate_bench.apple.subjects import LARGE, Subject, detector, digits, large
from tidegate_bench.engine.networks import keep_subject
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.progress import Progress

MOST_INTERPRETED = 40
"""Inputs of a small network; a large one is given them all, which are few."""

_PRECISION = {WeightFormat.INT8: Precision.INT8, WeightFormat.INT4: Precision.INT4}
Row = dict[str, Cell]


def run(*, quick: bool, progress: Progress) -> Figures:
    """All networks, or with `quick` the shipped one."""
    rows: list[Row] = []
    for subject in _subjects(quick=quick):
        for runtime, rows_of in (("Core ML", _core_ml), ("MLX", _mlx), ("Core AI", _core_ai)):
            progress(f"{subject.name} in {runtime}")
            rows += rows_of(subject)
    return Figures("apple", rows, [*_goals(rows), *_costs(quick=quick)])


def _subjects(*, quick: bool) -> Iterator[Subject]:
    yield digits()
    if not quick:
        yield from map(large, LARGE)
        yield detector()


def _core_ml(subject: Subject) -> list[Row]:
    rows: list[Row] = []
    inputs = subject.inputs[:MOST_INTERPRETED]
    for weight_format in (WeightFormat.FP32, WeightFormat.FP16, WeightFormat.INT8, WeightFormat.INT4):
        points = _at(subject.points, _PRECISION.get(weight_format, Precision.FP32))
        with tempfile.TemporaryDirectory() as directory:
            one = write_package(subject.network, points[:1], weight_format, Path(directory) / "one.mlpackage")
            written = write_package(subject.network, points, weight_format, Path(directory) / "all.mlpackage")
            package = InterpretedPackage(written.path)
            for point in points:
                stages = ready_stages(subject.network, point, package.opened)
                pipeline = FunctionPipeline(stages, point.activity, written.weights_bytes, weight_format.is_wide)
                rows.append(
                    {
                        "network": subject.name,
                        "function": point.name,
                        "runtime": "coreml",
                        "precision": str(weight_format),
                        "how": "interpreted",
                        "weights_bytes": written.weights_bytes,
                        "to_one_function": written.weights_bytes / one.weights_bytes,
                        **_compared(subject, point, inputs, pipeline.run(inputs)[0]),
                    }
                )
    return rows


def _mlx(subject: Subject) -> list[Row]:
    rows: list[Row] = []
    engine = MlxEngine(subject.network)
    for precision in (Precision.FP32, Precision.INT8, Precision.INT4):
        variants: list[Variant] = [engine.prepare(point) for point in _at(subject.points, precision)]
        for variant in variants:
            outputs = variant.run(subject.inputs).outputs
            rows.append(
                {
                    "network": subject.name,
                    "function": variant.point.name,
                    "runtime": "mlx",
                    "precision": str(precision),
                    "how": "executed",
                    "weights_bytes": variant.weights_resident_bytes,
                    "to_one_function": None,
                    **_compared(subject, variant.point, subject.inputs, outputs),
                }
            )
    return rows


def _core_ai(subject: Subject) -> list[Row]:
    """By its reference executor, which takes seconds for an answer of a large network."""
    rows: list[Row] = []
    inputs = subject.inputs[:MOST_INTERPRETED]
    formats: tuple[tuple[str, Precision, Dtype], ...] = (
        ("fp32", Precision.FP32, np.float32),
        ("fp16", Precision.FP32, np.float16),
        ("int8", Precision.INT8, np.float16),
    )
    for name, precision, dtype in formats:
        points = _at(subject.points, precision)
        with tempfile.TemporaryDirectory() as directory:
            one = write_asset(subject.network, points[:1], dtype, Path(directory) / "one.aimodel")
            written = write_asset(subject.network, points, dtype, Path(directory) / "all.aimodel")
        engine = CoreAiEngine(subject.network, points, dtype)
        rows += [
            {
                "network": subject.name,
                "function": point.name,
                "runtime": "coreai",
                "precision": name,
                "how": "executed",
                "weights_bytes": written.weights_bytes,
                "to_one_function": written.weights_bytes / one.weights_bytes,
                **_compared(subject, point, inputs, engine.prepare(point).run(inputs).outputs),
            }
            for point in points
        ]
    return rows


def _at(points: Sequence[OperatingPoint], precision: Precision) -> list[OperatingPoint]:
    return [replace(point, precision=precision) for point in points]


def _compared(subject: Subject, point: OperatingPoint, inputs: Array, outputs: Array) -> Row:
    expected = EagerEngine(subject.network).prepare(point).run(inputs).outputs
    flat, own = (each.reshape(len(inputs), -1) for each in (expected, outputs))
    return {
        "inputs": len(inputs),
        "relative_error": float(np.abs(own - flat).max() / np.abs(flat).max()),
        "top1_agreement": float((subject.best_classes(own) == subject.best_classes(flat)).mean()),
    }


def _goals(rows: Sequence[Row]) -> list[Goal]:
    def least(precision: str) -> float:
        return min(float(str(row["top1_agreement"])) for row in rows if row["precision"] == precision)

    shares = [float(str(row["to_one_function"])) for row in rows if row["to_one_function"] is not None]
    return [
        Goal("share of the shipped points that have a function in each format of theirs", 1.0, _covered()),
        Goal("least top-1 agreement at fp32", 1.0, least("fp32")),
        Goal("least top-1 agreement at fp16", 0.995, least("fp16")),
        Goal(
            "weights of all functions of a package or asset to those of one, most",
            1.05,
            max(shares),
            at_least=False,
        ),
    ]


def _covered() -> float:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    wanted = [(point, each) for point in bundle.ladder.points for each in formats_of(point, bundle)]

    def has(point: OperatingPoint, weight_format: WeightFormat) -> bool:
        try:
            return bool(functions_of(bundle, point, weight_format))
        except UnsupportedPoint:
            return False

    return sum(has(*each) for each in wanted) / len(wanted)


def _costs(*, quick: bool) -> list[Goal]:
    """Of processes of their own; the build is of ResNet-18 with four ways, which `quick` leaves out."""
    told = _said_by("tidegate_bench.apple.resident")
    loaded = Goal("MiB resident with the mlx engine loaded", 60, int(told) / 2**20, at_least=False)
    if quick:
        return [loaded]
    with tempfile.TemporaryDirectory() as directory:
        keep_subject("resnet18", Path(directory))
        cost = json.loads(_said_by("tidegate_bench.apple.build_cost", directory))
    return [
        loaded,
        Goal("processor seconds to build ResNet-18 with 4 ways in fp16", 5, cost["cpu_s"], at_least=False),
        Goal("MiB at most meanwhile, libraries included, without torch", 400, cost["peak_mib"], at_least=False),
    ]


def _said_by(module: str, *arguments: str) -> str:
    command = child.command(module, *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True, env=child.environment()).stdout
