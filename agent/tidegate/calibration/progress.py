"""Who is told how a calibration gets on."""

from typing import Protocol


class Progress(Protocol):
    """Told what is going on; `share` is how far that is through, 0..1, where it can be told."""

    def __call__(self, text: str, share: float | None = None) -> None: ...


def silent(text: str, share: float | None = None) -> None:
    """Does nothing: for calibrations that nobody watches."""
