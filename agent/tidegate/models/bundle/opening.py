"""Opening a bundle: a directory of plain data, believed only as far as its hashes, shapes and limits hold.

Nothing in a bundle is code and nothing is unpickled. No torch and no numpy here: the supervisor opens bundles
too, and its memory is the device's.
"""

import hashlib
from pathlib import Path

from pydantic import ValidationError

from tidegate.models.bundle.bundle import Bundle
from tidegate.models.bundle.consistency import check_consistency
from tidegate.models.bundle.directory import check_files, manifest_text
from tidegate.models.bundle.ladder_file import describe, read_ladder
from tidegate.models.bundle.manifest import LADDER, MANIFEST, WEIGHTS, InputSpec, ManifestModel, Provenance
from tidegate.models.bundle.safetensors_header import tensors_in
from tidegate.models.errors import BundleError
from tidegate.models.network import Shape

MAX_BUNDLE_BYTES = 4 * 2**30


def open_bundle(path: Path, max_bytes: int = MAX_BUNDLE_BYTES) -> Bundle:
    """Read and check a bundle directory. Raises BundleError saying what is wrong and where.

    Checked: the set of files, their sizes and hashes, the graphs against the operator allowlist and the weights,
    and the ladder against the blocks and layers. Not checked: who made it.
    """
    text = manifest_text(path)
    try:
        manifest = ManifestModel.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST}: {describe(error)}") from error
    check_files(path, manifest, max_bytes)
    ladder, calibration = read_ladder((path / LADDER).read_bytes())
    bundle = Bundle(
        path=path.absolute(),
        sha256=hashlib.sha256(text).hexdigest(),
        model=manifest.model,
        input=InputSpec(manifest.input.name, manifest.input.shape, manifest.input.scale),
        labels=tuple(manifest.labels),
        built=Provenance(**manifest.built.model_dump()),
        segments=tuple(segment.segment() for segment in manifest.segments),
        stand_ins={
            block: {kind: segment.segment() for kind, segment in kinds.items()}
            for block, kinds in manifest.stand_ins.items()
        },
        exit_heads={block: head.segment() for block, head in manifest.exit_heads.items()},
        weight_shapes=_weight_shapes(path / WEIGHTS),
        ladder=ladder,
        calibration=calibration,
        hashes={name: file.sha256 for name, file in manifest.files.items()},
    )
    check_consistency(bundle)
    return bundle


def _weight_shapes(path: Path) -> dict[str, Shape]:
    shapes = {}
    for name, tensor in tensors_in(path).items():
        if tensor.dtype != "F32":
            raise BundleError(f"{path}: {name} is {tensor.dtype}, master weights are F32")
        shapes[name] = tensor.shape
    return shapes
