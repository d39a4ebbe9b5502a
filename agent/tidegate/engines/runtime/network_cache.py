"""What an engine derives from one network and can derive again: models as it wants them."""

import hashlib
from pathlib import Path


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

    def model_directory(self, subject: str) -> Path | None:
        """The directory of one model's files, there or not; None when nothing is kept."""
        return self.file(f"model-{_digest(subject)}")


def _digest(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:32]


NO_CACHE = NetworkCache(None)
