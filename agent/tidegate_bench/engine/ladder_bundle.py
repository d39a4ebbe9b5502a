"""The certified ladder of the race: calibrated for onnx, kept while nothing changes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import torch

import tidegate
from tidegate import __version__
from tidegate.calibration.assemble.calibrate import calibrate
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.digits.data import LABELS, SCALE
from tidegate.calibration.data.split import Split
from tidegate.calibration.search.goal import FAST, Goal
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle.evidence import Samples
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, write_bundle
from tidegate.models.network import TrainedNetwork
from tidegate.paths import cache_directory
from tidegate_bench.engine.ladder_subject import Recipe
from tidegate_bench.progress import Progress

NETWORK = "residual_12"
ALPHA, DELTA = 0.015, 0.05


def ladder_bundle(
    network: TrainedNetwork, split: Split, recipe: Recipe, lookahead: int, progress: Progress
) -> Path:
    """The net with its ladder, calibrated anew when anything that makes it has changed.

    A run that was interrupted takes its search up again.
    """
    made_of = repr((recipe, lookahead, __version__, torch.__version__))
    path = cache_directory() / f"ladder-bundle-{_hash(made_of, _sources())}"
    search = cache_directory() / f"ladder-search-{_hash(made_of)}"
    if (path / "bundle.json").exists():
        progress(f"taking the ladder that was calibrated before from {path}")
        return path
    plan = Plan.towards(Goal.LATENCY, FAST, delta=DELTA, engines=(AUTO,))
    objective = replace(plan.objective, lookahead=lookahead)
    plan = replace(plan, objective=objective, alphas=(ALPHA,))

    def stages_only(text: str, share: float | None = None) -> None:
        if share is None:
            progress(text)

    found = calibrate(network, split, SCALE, stages_only, plan, search)
    contents = Contents(
        model=NETWORK,
        input=InputSpec("image", split.report.inputs.shape[1:], SCALE),
        labels=LABELS,
        built=Provenance("tidegate bench engine", split.seed, split.name, {}, str(torch.__version__)),
        network=found.network,
        ladder=found.ladder,
        calibration=found.calibration,
        canaries=found.canaries,
        samples=Samples(split.report.inputs[:1], split.report.known_labels[:1], SCALE),
    )
    write_bundle(path, contents)
    return path


def _sources() -> bytes:
    """All code that a ladder comes from."""
    package = Path(tidegate.__file__).parent
    folders = (package / name for name in ("calibration", "engines", "models"))
    return b"".join(source.read_bytes() for folder in folders for source in sorted(folder.rglob("*.py")))


def _hash(text: str, more: bytes = b"") -> str:
    return hashlib.sha256(text.encode() + more).hexdigest()[:16]
