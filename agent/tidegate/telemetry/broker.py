"""Which MQTT broker to talk to, and how."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Broker:
    """Address and credentials of an MQTT 5 broker; `tls_ca` (PEM file) turns TLS on.

    `data_per_day_bytes` is what a device may send over this link in 24 hours, None without a limit.
    """

    host: str
    port: int = 1883
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls_ca: Path | None = None
    data_per_day_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"
