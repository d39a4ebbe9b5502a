"""`tidegate bench pretrained`: networks of packages, from the registry to a ladder, and what it saves.

Full and the cheapest point certified within ALPHA run in turns, by processor time, on the engine of the ladder.
What they are compared on was in neither search nor certification. What services give of it, boxes and texts, is
compared as well.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import tidegate
from tidegate.calibration.assemble.model_bundle import Request, build_bundle
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.batches import answer_all
from tidegate.calibration.data.datasets.dataset import Dataset, raw_values
from tidegate.calibration.measure.cpu_time import cpu_times_ms, turn_times_ms
from tidegate.calibration.progress import Progress as CalibrationProgress
from tidegate.calibration.search.goal import Goal as Aim
from tidegate.engines.runtime.registry import open_engine
from tidegate.errors import TidegateError
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.evidence import Floats, scaled
from tidegate.models.comparing import differ
from tidegate.models.exact_test import binomial_cdf
from tidegate.models.ladder import OperatingPoint
from tidegate.paths import cache_directory
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.pretrained.networks import NETWORKS, Pretrained
from tidegate_bench.pretrained.served import served_failures
from tidegate_bench.progress import Progress

ALPHA = 0.015
"""The only loss that is certified, so that it has all of delta."""
CHEAP, ENOUGH = 0.7, 4
"""Share of full's processor time, and on how many networks."""
ENGINE = "onnx"
FRESH = 600
SEED, FRESH_SEED = 0, 1_000_000
CONTRADICTION = 0.01
"""Chance that a certificate which holds at its very alpha passes for a broken one."""
QUICK = ("facenet-pytorch R-Net",)


def run(*, quick: bool, names: Sequence[str] = (), seed: int = SEED, progress: Progress) -> Figures:
    """Every network, or those of the `names`; built where that was not done before. Raises PackageUnavailable.

    Another `seed` gives other inputs and another split. Sets torch's seed and thread count.
    """
    chosen = names or (QUICK if quick else tuple(NETWORKS))
    rows = [_row(name, seed, progress) for name in chosen]
    return Figures("pretrained", rows, goals(rows))


def goals(rows: Sequence[dict[str, Cell]]) -> list[Goal]:
    """How many are cheap enough, and whether any certificate was contradicted; unknown where nothing was taken."""
    shares = [row["share_of_cpu"] for row in rows if isinstance(row["share_of_cpu"], float)]
    broken = [bool(row["contradicted"]) for row in rows if row["contradicted"] is not None]
    return [
        Goal(
            f"networks whose cheapest point certified within {ALPHA:.1%} takes at most {CHEAP:.0%} of full's time",
            ENOUGH,
            sum(share <= CHEAP for share in shares) if shares else None,
        ),
        Goal("certificates contradicted by fresh inputs", 0, sum(broken) if broken else None, at_least=False),
    ]


def _row(name: str, seed: int, progress: Progress) -> dict[str, Cell]:
    net = NETWORKS[name]
    row: dict[str, Cell] = {
        "network": name,
        "task": str(net.task.task),
        "taken": False,
        "blocks": None,
        "point": None,
        "share_of_cpu": None,
        "full_cpu_ms": None,
        "fresh": None,
        "fresh_failures": None,
        "served_failures": None,
        "contradicted": None,
    }
    folder = cache_directory() / "pretrained"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        bundle = _built(name, net, seed, folder, progress)
    except TidegateError as error:
        return {**row, "reason": str(error).partition("\n")[0][:200]}
    point = _cheapest(bundle)
    fresh = net.inputs(FRESH, folder, FRESH_SEED + seed)
    raw, scale, _ = raw_values(fresh, name)
    inputs = scaled(raw, scale)
    times_ms, failures = _measured(bundle, point, inputs)
    contradicted = failures > 0 and 1 - binomial_cdf(failures - 1, len(inputs), ALPHA) < CONTRADICTION
    return {
        **row,
        "taken": True,
        "blocks": len(bundle.blocks),
        "point": point.name,
        "share_of_cpu": times_ms[1] / times_ms[0],
        "full_cpu_ms": times_ms[0],
        "fresh": len(inputs),
        "fresh_failures": failures,
        "served_failures": served_failures(bundle, point.name, raw),
        "contradicted": contradicted,
        "reason": "",
    }


def _built(name: str, net: Pretrained, seed: int, folder: Path, progress: Progress) -> Bundle:
    key = hashlib.sha256(
        repr((name, seed, net.count, net.task, Aim.BALANCED, _code_sha256())).encode()
    ).hexdigest()[:16]
    out = folder / f"{name.replace(' ', '-').lower()}-{key}"
    if not (out / "bundle.json").exists():
        inputs, scale, whole = raw_values(net.inputs(net.count, folder, seed), name)
        data = Dataset(f"{name}, seed {seed}", inputs, None, None, scale, whole=whole)
        plan = Plan.towards(Aim.BALANCED, engines=(ENGINE,), alphas=(ALPHA,))
        request = Request(
            net.model(folder),
            data,
            out,
            seed=seed,
            plan=plan,
            command="tidegate bench pretrained",
            output=net.output,
            task=net.task,
            fixed=net.fixed,
        )
        build_bundle(request, _told(name, progress))
    return open_bundle(out)


def _told(name: str, progress: Progress) -> CalibrationProgress:
    def told(text: str, share: float | None = None) -> None:  # noqa: ARG001 - the protocol's
        progress(f"{name}: {text}")

    return told


def _code_sha256() -> str:
    """Of all that makes a ladder."""
    package = Path(tidegate.__file__).parent
    sources = [
        path for part in ("calibration", "engines", "models") for path in sorted((package / part).rglob("*.py"))
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _cheapest(bundle: Bundle) -> OperatingPoint:
    """The last point of the ladder that is certified: no figure has a say in it."""
    return [point for point in bundle.ladder.points if point.certificate is not None][-1]


def _measured(bundle: Bundle, point: OperatingPoint, inputs: Floats) -> tuple[tuple[float, float], int]:
    """Processor time of full and of the point, ms per input; and on how many inputs they are apart."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        engine = open_engine(ENGINE, bundle, Path(kept))
        variants = [engine.prepare(each) for each in (bundle.ladder.full, point)]
        full, other = (answer_all(variant, inputs).outputs for variant in variants)
        failures = int(np.count_nonzero(differ(bundle.calibration.comparison, full, other)))
        # Of gates and exits, turns differ by which of their inputs leave early.
        varies = bool(point.exits or point.thresholds)
        times = (
            turn_times_ms(variants, inputs, cold_inputs=0).mean(axis=1)
            if varies
            else cpu_times_ms(variants, inputs, cold_inputs=0)
        )
        return (float(times[0]), float(times[1])), failures
