"""Engines caught answering wrong on this device: not used again before their runtime or the system changes.

The cache's key holds both versions, so that a new one starts with nothing held against it.
"""

import json
from collections.abc import Mapping

from tidegate.engines.runtime.cache import Cache

_KIND = "dropped"
_SUBJECT = "engines"


class Dropped:
    """By engine the reason; kept in the cache, so that a restart does not forget."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._reasons = _parsed(cache.read(_KIND, _SUBJECT))

    @property
    def reasons(self) -> Mapping[str, str]:
        """By engine."""
        return self._reasons

    def add(self, engine: str, reason: str) -> None:
        """Hold it against an engine; the first reason stays."""
        self._reasons = {engine: reason, **self._reasons}
        self._cache.write(_KIND, _SUBJECT, json.dumps(self._reasons).encode())


def _parsed(content: bytes | None) -> dict[str, str]:
    """Nothing for what isn't there or is damaged."""
    try:
        found = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return {str(name): str(reason) for name, reason in found.items()} if isinstance(found, dict) else {}
