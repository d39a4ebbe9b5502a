"""What tells the sampler at once that readings have changed; low-rate polls stay the net under it."""

from typing import Protocol


class Wake(Protocol):
    """A descriptor that poll(2) watches, and what its readiness means."""

    @property
    def poll_mask(self) -> int:
        """The poll(2) events that mean news, for example POLLIN."""

    def fileno(self) -> int:
        """The descriptor for poll(2), the same for the whole life of the source."""

    def drain(self) -> frozenset[str] | None:
        """Take all that is waiting, without blocking: the topics it concerns, None when news was lost.

        Raises OSError when the source is broken; it is then closed and given up.
        """

    def close(self) -> None:
        """Close the descriptor; nothing is heard afterwards."""
