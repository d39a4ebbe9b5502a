"""Numbers from outside on their way in: what a publication on `input/<name>` carries, not yet what it means."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InputMessage:
    """One publication. `kept` says that the broker had kept it (retained), for nobody knows how long.

    `expiry_s` is what is left of its message expiry interval (MQTT 5, section 3.3.2.3.3), None without one.
    """

    name: str
    payload: bytes
    kept: bool = False
    expiry_s: float | None = None


OnInput = Callable[[InputMessage], None]
