"""A bundle that opens and whose model answers otherwise than it says."""

import hashlib
import shutil
from pathlib import Path

from agent_process import BUNDLE
from safetensors.numpy import load_file, save_file


def wrong_canaries(directory: Path) -> None:
    """A valid bundle whose recorded answers are another model's."""
    shutil.copytree(BUNDLE, directory)
    file = directory / "canaries.safetensors"
    tensors = load_file(file)
    answers = {name: (each + 1) % 10 for name, each in tensors.items() if each.dtype.kind == "i"}
    assert answers, "the recorded answers are whole numbers"
    save_file({**tensors, **answers}, file)
    manifest = (directory / "bundle.json").read_text()
    old = hashlib.sha256((BUNDLE / "canaries.safetensors").read_bytes()).hexdigest()
    assert old in manifest
    (directory / "bundle.json").write_text(manifest.replace(old, hashlib.sha256(file.read_bytes()).hexdigest()))
