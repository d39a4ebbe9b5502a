"""What was measured once on this device, kept while the device and its software stay the same."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agent import __version__
from agent.engines.processor import cpu_flags

log = logging.getLogger(__name__)

_RUNTIMES = ("torch", "onnxruntime", "numpy")


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


class DeviceCache:
    """JSON values by topic and subject in a directory; a value it can't keep is measured again next time."""

    def __init__(self, directory: Path | None) -> None:
        """None: nothing is kept."""
        self._directory = directory

    @property
    def directory(self) -> Path | None:
        """Where it keeps what it keeps."""
        return self._directory

    def value(self, topic: str, subject: str, measure: Callable[[], dict[str, object]]) -> dict[str, object]:
        """The kept value for this device, or a fresh one, which is then kept."""
        if self._directory is None:
            return measure()
        key = hashlib.sha256(f"{fingerprint()} {subject}".encode()).hexdigest()[:32]
        path = self._directory / f"{topic}-{key}.json"
        try:
            kept: dict[str, object] = json.loads(path.read_bytes())
        except (OSError, ValueError):
            kept = measure()
            self._keep(path, kept)
        return kept

    def _keep(self, path: Path, value: dict[str, object]) -> None:
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(value))
            partial.replace(path)
        except OSError as error:
            log.warning("%s can't be kept, so it is measured at every start: %s", path, error.strerror)
