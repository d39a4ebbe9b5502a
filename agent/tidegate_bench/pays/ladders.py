"""The ladders of the networks, built as `bundle build` builds them, and kept until what makes them changes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

import tidegate
from tidegate import __version__
from tidegate.calibration.assemble.calibrate import calibrate
from tidegate.calibration.assemble.model_bundle import flops_of, split_sizes
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.data.split import Split, split_data
from tidegate.calibration.progress import Progress as CalibrationProgress
from tidegate.calibration.search.goal import Goal
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle.evidence import Samples
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, write_bundle
from tidegate.models.network import TrainedNetwork
from tidegate_bench.pays.datasets import SCALE, LabelledInputs
from tidegate_bench.progress import Progress

SEED = 0


@dataclass(frozen=True, slots=True)
class BuiltLadder:
    """A bundle, and the cut of the data that it was built from."""

    bundle: Path
    split: Split


def built_ladder(
    name: str, network: TrainedNetwork, data: LabelledInputs, folder: Path, progress: Progress
) -> BuiltLadder:
    """From all of the data, none of which the network was trained on; with the defaults of `bundle build`."""
    sizes = split_sizes(len(data.inputs), flops_of(network))
    split = split_data(data.source, data.inputs, data.labels, (0, *sizes), SEED)
    bundle = folder / f"pays-{_key(name, network, split)}"
    if not (bundle / "bundle.json").exists():
        plan = Plan.towards(Goal.BALANCED, engines=(AUTO,))
        found = calibrate(network, split, SCALE, _told(name, progress), plan)
        shape = split.report.inputs.shape[1:]
        contents = Contents(
            model="pays",
            input=InputSpec("input", shape, SCALE),
            labels=tuple(str(index) for index in range(int(data.labels.max()) + 1)),
            built=Provenance("tidegate bench pays", SEED, split.name, {}, str(torch.__version__)),
            network=found.network,
            ladder=found.ladder,
            calibration=found.calibration,
            canaries=found.canaries,
            samples=Samples(split.report.inputs[:1], split.report.known_labels[:1], SCALE),
        )
        write_bundle(bundle, contents)
    return BuiltLadder(bundle, split)


def _key(name: str, network: TrainedNetwork, split: Split) -> str:
    """A hash of all that a ladder comes from: network, data, our code."""
    digest = hashlib.sha256(repr((name, __version__, torch.__version__)).encode())
    for array in network.arrays.values():
        digest.update(array.tobytes())
    for part in split.parts.values():
        digest.update(part.sha256.encode())
    package = Path(tidegate.__file__).parent
    for folder in ("calibration", "engines", "models"):
        for source in sorted((package / folder).rglob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _told(name: str, progress: Progress) -> CalibrationProgress:
    def told(text: str, share: float | None = None) -> None:  # noqa: ARG001 - the protocol's
        progress(f"{name}: {text}")

    return told
