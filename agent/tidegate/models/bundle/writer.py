"""Writing a bundle directory; the same contents give the same bytes."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from tidegate.models.bundle.evidence import Canaries, Samples
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.bundle.ladder_file import Calibration, write_ladder
from tidegate.models.bundle.manifest import (
    CANARIES,
    LADDER,
    MANIFEST,
    SAMPLES,
    WEIGHTS,
    FileModel,
    InputModel,
    InputSpec,
    ManifestModel,
    Provenance,
    ProvenanceModel,
)
from tidegate.models.ladder import Ladder
from tidegate.models.network import TrainedNetwork


@dataclass(frozen=True, slots=True)
class Contents:
    """All that goes into a bundle."""

    model: str
    input: InputSpec
    labels: tuple[str, ...]
    built: Provenance
    network: TrainedNetwork
    ladder: Ladder
    calibration: Calibration
    canaries: Canaries
    samples: Samples


def weights_file(network: TrainedNetwork) -> bytes:
    """The text of weights.safetensors; its hash binds a ladder to its weights."""
    return save({name: np.ascontiguousarray(array) for name, array in network.arrays.items()})


def write_bundle(out: Path, contents: Contents) -> None:
    """Write the bundle into the directory `out`, made if need be; files of an older bundle there are replaced.

    The manifest is written last: a build that was cut short leaves a bundle that fails its hashes.
    """
    top1 = np.stack([contents.canaries.top1[point.name] for point in contents.ladder.points])
    samples = contents.samples
    files = {
        WEIGHTS: weights_file(contents.network),
        LADDER: write_ladder(contents.ladder, contents.calibration),
        CANARIES: save({"inputs": contents.canaries.inputs, "outputs": contents.canaries.outputs, "top1": top1}),
        SAMPLES: save({"inputs": samples.raw} | ({} if samples.labels is None else {"labels": samples.labels})),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)
    (out / MANIFEST).write_bytes(_manifest(contents, files))


def _manifest(contents: Contents, files: Mapping[str, bytes]) -> bytes:
    model = ManifestModel(
        model=contents.model,
        input=InputModel(**asdict(contents.input)),
        labels=list(contents.labels),
        built=ProvenanceModel.model_validate(asdict(contents.built)),
        files={
            name: FileModel(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        },
        segments=[SegmentModel.of(segment) for segment in contents.network.segments],
        stand_ins={
            block: {kind: SegmentModel.of(segment) for kind, segment in kinds.items()}
            for block, kinds in contents.network.stand_ins.items()
        },
        exit_heads={block: SegmentModel.of(head) for block, head in contents.network.exit_heads.items()},
    )
    return model.model_dump_json(indent=1).encode() + b"\n"
