"""What an engine derives from one network and can derive again: models as it wants them."""

from pathlib import Path

from tidegate.engines.runtime.cache import Cache


class NetworkCache:
    """The entries of a cache that belong to one network's weights, which `network` names."""

    def __init__(self, cache: Cache, network: str = "") -> None:
        """Subjects of another network are other entries."""
        self._network = network
        self.cache = cache

    @property
    def directory(self) -> Path | None:
        """Where everything lies; None when nothing is kept."""
        return self.cache.directory

    def model_directory(self, subject: str) -> Path | None:
        """The directory of one model's files, there or not; None when nothing is kept."""
        return self.cache.entry("model", self._of_network(subject))

    def _of_network(self, subject: str) -> str:
        return f"{self._network} {subject}"


NO_CACHE = NetworkCache(Cache(None))
