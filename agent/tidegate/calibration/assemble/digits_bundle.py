"""The demo bundle from scratch: train on scanned digits, export, calibrate, write."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tidegate.calibration.assemble.calibrate import calibrate
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.digits.data import LABELS, SCALE, SIZES, load_split
from tidegate.calibration.data.digits.net import BLOCKS
from tidegate.calibration.data.digits.seed import SHIPPED_SEED
from tidegate.calibration.data.digits.training import EPOCHS, train
from tidegate.calibration.measure.energy import Meter
from tidegate.calibration.progress import Progress, silent
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle.evidence import Samples
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, write_bundle
from tidegate.models.importing.export_network import export_network


@dataclass(frozen=True, slots=True)
class Recipe:
    """How much of everything; the defaults are the shipped bundle's, tests use less."""

    sizes: tuple[int, int, int, int] = SIZES
    epochs: int = EPOCHS
    blocks: tuple[int, int] = BLOCKS
    engines: tuple[str, ...] = (AUTO,)


def build_digits_bundle(
    out: Path,
    seed: int = SHIPPED_SEED,
    progress: Progress = silent,
    recipe: Recipe = Recipe(),
    meter: Meter | None = None,
) -> None:
    """Write the digits bundle into `out`. Sets torch's seed and thread count for this process.

    Twice on one machine gives the same bytes but for the measured latencies in ladder.json and, through its
    hash, one line of bundle.json. On another machine the weights may differ in their last bits, as float sums
    are ordered otherwise, and with them all that follows.
    """
    split = load_split(seed, recipe.sizes)
    net = train(split.train, seed, recipe.epochs, progress, recipe.blocks)
    progress("exporting")
    network = export_network(net.inference_segments(), torch.zeros(2, *split.train.inputs.shape[1:]))
    found = calibrate(network, split, SCALE, progress, Plan(engines=recipe.engines), meter=meter)
    contents = Contents(
        model="digits",
        input=InputSpec("image", split.train.inputs.shape[1:], SCALE),
        labels=LABELS,
        built=Provenance(
            command=" ".join(["tidegate bundle build-demo --out DIR --seed", str(seed), *_options(recipe)]),
            seed=seed,
            data=split.name,
            parts={name: len(part) for name, part in split.parts.items()},
            torch=str(torch.__version__),
        ),
        network=found.network,
        ladder=found.ladder,
        calibration=found.calibration,
        canaries=found.canaries,
        samples=Samples(split.report.inputs, split.report.labels, SCALE),
    )
    write_bundle(out, contents)
    progress(f"wrote {out}")
    for reason in found.short:
        progress(reason)


def _options(recipe: Recipe) -> list[str]:
    return [f"--engine {engine}" for engine in recipe.engines]
