"""Which device this is, and with which software."""

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from tidegate import __version__
from tidegate.engines.runtime.processor import cpu_flags

_RUNTIMES = ("torch", "onnxruntime", "ai-edge-litert", "numpy")


def fingerprint() -> str:
    """A hash of the processor, its core count and the versions of the runtimes."""
    facts = [
        platform.system(),
        platform.machine(),
        sorted(cpu_flags()),
        os.cpu_count(),
        os.environ.get("ONEDNN_MAX_CPU_ISA"),
        __version__,
        [installed_version(name) for name in _RUNTIMES],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def installed_version(name: str) -> str | None:
    """A package's version without importing it; None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
