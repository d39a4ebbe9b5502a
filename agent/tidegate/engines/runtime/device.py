"""Which device this is, and with which software."""

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from tidegate import __version__
from tidegate.engines.runtime.installed import installed_version
from tidegate.engines.runtime.processor import cpu_flags

_RUNTIMES = ("torch", "onnxruntime", "ai-edge-litert", "mlx", "coremltools", "coreai-core", "numpy")


def fingerprint() -> str:
    """A hash of the processor, its cores, the versions of system and runtimes, and the code that writes models."""
    facts = [
        platform.system(),
        platform.machine(),
        sorted(cpu_flags()),
        os.cpu_count(),
        system_build(),
        os.environ.get("ONEDNN_MAX_CPU_ISA"),
        __version__,
        _sources_digest(),
        [installed_version(name) for name in _RUNTIMES],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@cache
def _sources_digest() -> str:
    """Of all engines' sources: two builds of one version may write different models for the same point."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


@cache
def system_build() -> str:
    """The build of the operating system that this process runs on, in which a Mac's and a board's drivers come."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "kern.osversion"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return f"macOS {told.stdout.strip()}"
        except (OSError, subprocess.SubprocessError):
            return f"macOS {platform.mac_ver()[0]}"
    try:
        told_by_file = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    parts = (told_by_file.get(key, "") for key in ("ID", "VERSION_ID", "BUILD_ID"))
    return " ".join(part for part in parts if part)
