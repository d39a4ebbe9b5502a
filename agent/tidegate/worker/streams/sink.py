"""Where answers go."""

from typing import Protocol


class Sink(Protocol):
    """Takes lines, and keeps nobody waiting."""

    def write(self, line: bytes) -> None:
        """Raises OSError for one that is lost."""

    def close(self) -> None:
        """Take no more."""
