"""`tidegate bench placements`: each engine that can run on this device, on each of its units, at every point.

For whoever has a device that nobody of us has: load times with an empty cache and with a full one, time and energy
of an answer, and how many of the bundle's samples are answered apart from the processor's. Engines that `auto`
leaves out here are measured all the same, if their runtime is installed.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tidegate import child
from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.runtime.agreement import answered_apart, tolerance_of
from tidegate.engines.runtime.installed import UnknownEngine, check_installed
from tidegate.engines.runtime.placement import CPU, placement_of
from tidegate.engines.runtime.runtimes import AUTO, ENGINES
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.paths import profiles_directory
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.placements.points import points_of, with_points_for_all

DEADLINE_S = 300
"""For one engine with all points of a bundle; what it has not measured by then is named."""

ALL, FEWER = 1_000_000, 40
_SHOWN = ("engine", "point", "unit", "cold_ms", "warm_ms", "answer_ms", "cpu_ms", "answer_mj", "apart", "reason")
Row = dict[str, Cell]
Answers = Mapping[str, Array]


def run(
    path: Path | None = None, engines: Sequence[str] = (), meter: str | None = None, *, quick: bool = False
) -> Figures:
    """Of a bundle, the shipped one without `path`; of these engines, or of all whose runtimes are installed.

    With `quick` on fewer samples.
    """
    bundle = with_points_for_all(open_bundle(path or profiles_directory() / "bundles" / "digits"))
    names = tuple(engines) or tuple(_able())
    answers: dict[str, Answers] = {}
    rows: list[Row] = []
    for name in names:
        found, answers[name] = _one(bundle, name, meter, FEWER if quick else ALL)
        rows += found
    reference = _reference(names)
    if reference is not None:
        for row in rows:
            row.update(_compared(bundle, row, answers, reference))
    return Figures("placements", rows, _goals(rows), _SHOWN)


def _able() -> Iterator[str]:
    for name in ENGINES:
        try:
            check_installed(name)
        except UnknownEngine:
            continue
        if name != AUTO:
            yield name


def _one(bundle: Bundle, name: str, meter: str | None, most: int) -> tuple[list[Row], Answers]:
    """Twice over one cache, which is empty for the first."""
    with tempfile.TemporaryDirectory(prefix="tidegate-placements-") as directory:
        cache, own = Path(directory) / "cache", Path(directory) / "answers"
        own.mkdir()
        cold, warm = (_process(bundle, name, cache, own, most, meter) for _ in range(2))
        answers = {
            point.name: np.load(file)
            for place, point in enumerate(points_of(bundle, name))
            if (file := own / f"{place}.npy").exists()
        }
    here = placement_of(name)
    rows: list[Row] = []
    for point in points_of(bundle, name):
        first, then = cold.get(point.name, {}), warm.get(point.name, {})
        rows.append(
            {
                "engine": name,
                "point": point.name,
                "unit": here.unit,
                "runtime": here.runtime,
                "system": here.system_build,
                "cold_ms": first.get("first_ms"),
                "warm_ms": then.get("first_ms"),
                **{key: then.get(key) for key in ("answer_ms", "cpu_ms", "answer_mj", "resident_mib")},
                "reason": then.get("reason", cold.get("", {}).get("reason", "said nothing")),
            }
        )
    return rows, answers


def _process(
    bundle: Bundle, name: str, cache: Path, answers: Path, most: int, meter: str | None
) -> Mapping[str, Row]:
    """What a process said, by point; how it ended under the empty name, where it did not end well."""
    arguments = (str(bundle.path), name, str(cache), str(answers), str(most), meter or "")
    command = child.command("tidegate_bench.placements.one_engine", *arguments)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=child.environment()
        )
        output, ending = done.stdout, "" if done.returncode == 0 else _last_line(done)
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace") if isinstance(expired.stdout, bytes) else ""
        ending = f"was not done after {DEADLINE_S} s"
    said = {str(row["point"]): row for row in map(json.loads, filter(_is_json, output.splitlines()))}
    return {**said, "": {"reason": ending}} if ending else said


def _is_json(line: str) -> bool:
    return line.startswith("{")


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"ended with code {done.returncode}"


def _reference(names: Sequence[str]) -> str | None:
    """The processor's engine to compare with: eager, or the first other one."""
    own = [name for name in names if placement_of(name).unit == CPU]
    return REFERENCE if REFERENCE in own else next(iter(own), None)


def _compared(bundle: Bundle, row: Row, answers: Mapping[str, Answers], reference: str) -> Row:
    engine, point = str(row["engine"]), str(row["point"])
    own, other = answers[engine].get(point), answers[reference].get(point)
    if own is None or other is None or engine == reference:
        return {"samples": None, "apart": None, "furthest": None}
    apart = answered_apart(bundle.calibration.comparison, other, own, tolerance_of(engine))
    furthest = float(np.abs(own - other).max() / np.abs(other).max())
    return {"samples": len(own), "apart": int(apart.sum()), "furthest": furthest}


def _goals(rows: Sequence[Row]) -> list[Goal]:
    shares = [int(str(row["apart"])) / int(str(row["samples"])) for row in rows if row.get("samples")]
    return [
        Goal("most samples of a point answered apart from the processor", 0.005, max(shares, default=None), False)
    ]
