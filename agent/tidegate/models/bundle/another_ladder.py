"""A bundle written again with another ladder: the same weights, graphs and samples, and the canaries left."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from tidegate.models.bundle.bundle import Bundle
from tidegate.models.bundle.directory import manifest_text
from tidegate.models.bundle.ladder_file import Calibration, write_ladder
from tidegate.models.bundle.manifest import MANIFEST, FileModel, FileName, ManifestModel
from tidegate.models.ladder import Ladder


def write_with_ladder(bundle: Bundle, ladder: Ladder, calibration: Calibration, out: Path) -> None:
    """Write into the directory `out`, which must not exist; the ladder's points are some of the bundle's.

    The manifest is written last. Raises FileExistsError, OSError, and BundleError when the bundle has changed
    since it was opened.
    """
    canaries = bundle.canaries()
    top1 = np.stack([canaries.top1[point.name] for point in ladder.points])
    written: dict[FileName, bytes] = {
        "ladder.json": write_ladder(ladder, calibration),
        "canaries.safetensors": save({"inputs": canaries.inputs, "outputs": canaries.outputs, "top1": top1}),
    }
    manifest = ManifestModel.model_validate_json(manifest_text(bundle.path))
    files = dict(manifest.files)
    out.mkdir(parents=True)
    for name in files.keys() - written.keys():
        shutil.copyfile(bundle.path / name, out / name)
    for name, data in written.items():
        (out / name).write_bytes(data)
        files[name] = FileModel(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1)
    (out / MANIFEST).write_text(text + "\n", encoding="utf-8")
