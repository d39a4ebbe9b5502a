"""One engine at each of its points, in a process of its own; a line of JSON for each.

Arguments are BUNDLE ENGINE CACHE ANSWERS MOST METER. What it answers to the bundle's samples, MOST of them, goes
to the directory ANSWERS, a file for each point, by its place.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil

from tidegate.calibration.measure.energy import Meter, inference_mj
from tidegate.engines.engine import Array, UnsupportedPoint, Variant
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate_bench.placements.points import points_of, with_points_for_all
from tidegate_drivers.energy_meter import NoMeter, find_energy_meter

_POINT_S = 0.5
_FEWEST_RUNS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """What one engine did at one point; None is not measured, `reason` says why where it did nothing.

    `first_ms` is what preparing the point and its first answer took, `cpu_ms` the processor time of an answer.
    """

    point: str
    reason: str = ""
    first_ms: float | None = None
    answer_ms: float | None = None
    cpu_ms: float | None = None
    answer_mj: float | None = None
    resident_mib: float | None = None


def main() -> None:
    """Open it, and take it through the points."""
    path, name, cache, answers, most, named_meter = sys.argv[1:]
    bundle = with_points_for_all(open_bundle(Path(path)))
    found = find_energy_meter(named_meter or None)
    meter = None if isinstance(found, NoMeter) else found
    engine = open_engine(name, bundle, Path(cache))
    inputs = bundle.samples().inputs()[: int(most)]
    for place, point in enumerate(points_of(bundle, name)):
        started = time.perf_counter()
        try:
            variant = engine.prepare(point)
            variant.run(inputs[:1])
        except UnsupportedPoint as error:
            _say(Measured(point.name, str(error)))
            continue
        first_ms = (time.perf_counter() - started) * 1e3
        np.save(
            Path(answers) / f"{place}.npy", np.concatenate([variant.run(each[None]).outputs for each in inputs])
        )
        _say(_measured(variant, inputs, int(most), first_ms, meter))
        variant.release()


def _measured(variant: Variant, inputs: Array, most: int, first_ms: float, meter: Meter | None) -> Measured:
    walls: list[float] = []
    cpus: list[float] = []
    end = time.perf_counter() + _POINT_S
    while len(walls) < _FEWEST_RUNS or (len(walls) < most and time.perf_counter() < end):
        one = inputs[len(walls) % len(inputs)][None]
        wall, cpu = time.perf_counter(), time.process_time()
        variant.run(one)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Measured(
        variant.point.name,
        "",
        first_ms,
        float(np.median(walls)) * 1e3,
        float(np.mean(cpus)) * 1e3,
        None if meter is None else inference_mj(variant.run, inputs, meter),
        psutil.Process().memory_info().rss / 2**20,
    )


def _say(measured: Measured) -> None:
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
