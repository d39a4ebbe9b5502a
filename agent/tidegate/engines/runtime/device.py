"""What was measured once on this device, kept while the device and its software stay the same."""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tidegate import __version__
from tidegate.engines.runtime.processor import cpu_flags
from tidegate.files import cache_file

log = logging.getLogger(__name__)

_RUNTIMES = ("torch", "onnxruntime", "ai-edge-litert", "numpy")
MOST_STARTS = 64


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


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, and why it may come out otherwise another time: empty when it will not."""

    value: dict[str, object]
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file's content: the value, its doubt, how often it was measured, and the starts since.

    `session` is of the last process that asked: a worker and the children that it tries engines in are one start.
    """

    value: dict[str, object]
    doubt: str
    tries: int
    starts: int
    session: int

    @property
    def is_due(self) -> bool:
        """Whether it is to be measured again: at the next start, then after two more, four, and so on."""
        return bool(self.doubt) and self.starts >= min(2 ** (self.tries - 1), MOST_STARTS)


class DeviceCache:
    """JSON values by topic and subject in a directory; a value it can't keep is measured again next time.

    A value with a doubt, as one that was measured while others kept the machine busy, is measured again at later
    starts, ever more seldom while the doubt stays. Starts are counted, no clock is asked: a board may have none.
    """

    def __init__(self, directory: Path | None) -> None:
        """None: nothing is kept."""
        self._directory = directory

    @property
    def directory(self) -> Path | None:
        """Where it keeps what it keeps."""
        return self._directory

    def value(
        self, topic: str, subject: str, measure: Callable[[dict[str, object] | None], Measured]
    ) -> dict[str, object]:
        """The kept value for this device, or a fresh one, which is then kept; `measure` gets the one before."""
        if self._directory is None:
            return measure(None).value
        key = hashlib.sha256(f"{fingerprint()} {subject}".encode()).hexdigest()[:32]
        path = self._directory / f"{topic}-{key}.json"
        kept = _read(path)
        if kept is not None and not kept.doubt:
            return kept.value
        session = _session()
        if kept is not None:
            if kept.session == session:
                return kept.value
            kept = replace(kept, starts=kept.starts + 1, session=session)
        if kept is None or kept.is_due:
            measured = measure(None if kept is None else kept.value)
            tries = 1 if kept is None else kept.tries + 1
            kept = _Kept(measured.value, measured.doubt, tries, 0, session)
            if kept.doubt:
                log.info("%s: to be measured again at a later start: %s", topic, kept.doubt)
        self._keep(path, kept)
        return kept.value

    def _keep(self, path: Path, kept: _Kept) -> None:
        try:
            cache_file(path, json.dumps(asdict(kept)).encode())
        except OSError as error:
            log.warning("%s can't be kept, so it is measured at every start: %s", path, error.strerror)


def _session() -> int:
    return os.getsid(0)


def _read(path: Path) -> _Kept | None:
    try:
        match json.loads(path.read_bytes()):
            case {
                "value": dict(value),
                "doubt": str(doubt),
                "tries": int(tries),
                "starts": int(starts),
                "session": int(session),
            }:
                return _Kept(value, doubt, min(max(1, tries), MOST_STARTS), starts, session)
    except (OSError, ValueError, RecursionError):
        pass
    return None
