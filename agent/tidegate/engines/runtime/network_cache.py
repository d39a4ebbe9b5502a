"""What an engine derives from one network and can derive again: ranges and optimized graphs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from tidegate.engines.plan.quantization import Range
from tidegate.files import cache_file


class NetworkCache:
    """Files in a directory that belongs to one network's weights and one version of the software."""

    def __init__(self, directory: Path | None) -> None:
        """None: nothing is kept."""
        self._directory = directory

    @property
    def directory(self) -> Path | None:
        """Where everything lies; None when nothing is kept."""
        return self._directory

    def file(self, name: str) -> Path | None:
        """Where a file of that name goes; None when nothing is kept."""
        return None if self._directory is None else self._directory / name

    def ranges(self, subject: str, measure: Callable[[], Mapping[str, Range]]) -> Mapping[str, Range]:
        """Ranges of activations, kept as JSON."""

        def make() -> bytes:
            return json.dumps({name: [span.low, span.high] for name, span in measure().items()}).encode()

        kept = json.loads(self._kept("ranges", subject, "json", make))
        return {name: Range(*pair) for name, pair in kept.items()}

    def model_directory(self, subject: str) -> Path | None:
        """The directory of one model's files, there or not; None when nothing is kept."""
        return self.file(f"model-{_digest(subject)}")

    def _kept(self, kind: str, subject: str, suffix: str, make: Callable[[], bytes]) -> bytes:
        path = self.file(f"{kind}-{_digest(subject)}.{suffix}")
        if path is None:
            return make()
        if path.exists():
            return path.read_bytes()
        content = make()
        # Without a place to keep it, it is made again next time, which costs seconds and nothing else.
        with suppress(OSError):
            cache_file(path, content)
        return content


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:32]


NO_CACHE = NetworkCache(None)
