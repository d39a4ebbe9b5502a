"""The shipped bundle with another ladder: what an operator pushes after a new measurement."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

from tidegate.paths import profiles_directory

SHIPPED = profiles_directory() / "bundles" / "digits"


def edited_bundle(directory: Path, latency_ms: float) -> Path:
    """A valid bundle whose full point has this latency; as long as the shipped one but for its ladder."""
    shutil.copytree(SHIPPED, directory)
    ladder = json.loads((directory / "ladder.json").read_text())
    ladder["points"][0]["figures"]["latency_p50_ms"] = latency_ms
    text = json.dumps(ladder, indent=1).encode()
    (directory / "ladder.json").write_bytes(text)
    vouch(directory, "ladder.json")
    return directory


def vouch(directory: Path, name: str) -> None:
    """Have the manifest say what the file is now."""
    content = (directory / name).read_bytes()
    manifest = json.loads((directory / "bundle.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    (directory / "bundle.json").write_text(json.dumps(manifest, indent=1))
