"""What this machine has that the unit's sandbox would hide, or that root alone may read."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Devices:
    """`vcio`: a Raspberry Pi's firmware tells of under-voltage and throttling there. `rapl`: energy counters."""

    vcio: bool = False
    rapl: bool = False


def devices(root: Path = Path("/")) -> Devices:
    """As the drivers `raspberry_pi` and `rapl` look for them."""
    return Devices(
        vcio=(root / "dev/vcio").exists(),
        rapl=any((root / "sys/class/powercap").glob("intel-rapl:*/energy_uj")),
    )
