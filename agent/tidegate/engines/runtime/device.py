"""Which device this is, and with which software."""

import hashlib
import json
import os
import platform
from functools import cache
from pathlib import Path

from tidegate import __version__
from tidegate.engines.runtime.installed import installed_version
from tidegate.engines.runtime.processor import cpu_flags
from tidegate.engines.runtime.system import system_build

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
