"""What an engine derives from one network and can derive again: ranges and optimized graphs."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tidegate.engines.plan.quantization import Range
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

    def ranges(self, subject: str, measure: Callable[[], Mapping[str, Range]]) -> Mapping[str, Range]:
        """Ranges of activations, kept as JSON."""

        def make() -> bytes:
            return json.dumps({name: [span.low, span.high] for name, span in measure().items()}).encode()

        kept = json.loads(self._kept("ranges", subject, "json", make))
        return {name: Range(*pair) for name, pair in kept.items()}

    def model_directory(self, subject: str) -> Path | None:
        """The directory of one model's files, there or not; None when nothing is kept."""
        return self.cache.entry("model", self._of_network(subject))

    def _kept(self, kind: str, subject: str, suffix: str, make: Callable[[], bytes]) -> bytes:
        content = self.cache.read(kind, self._of_network(f"{subject}.{suffix}"))
        if content is None:
            content = make()
            self.cache.write(kind, self._of_network(f"{subject}.{suffix}"), content)
        return content

    def _of_network(self, subject: str) -> str:
        return f"{self._network} {subject}"


NO_CACHE = NetworkCache(Cache(None))
