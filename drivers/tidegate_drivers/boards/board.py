"""Which board this is, from its device tree (devicetree specification 0.4, sections 2.3.1 and 2.3.2)."""

from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.sysfs import read_text
from tidegate_drivers.sensor import SensorError

_DIRECTORIES = ("sys/firmware/devicetree/base", "proc/device-tree")


@dataclass(frozen=True, slots=True)
class Board:
    """The board's name for people, and the names that drivers match, most specific first."""

    model: str
    compatible: tuple[str, ...]

    def is_any(self, *prefixes: str) -> bool:
        """Whether one of the compatible names begins so, as in `brcm,bcm2712`."""
        return any(name.startswith(prefixes) for name in self.compatible)


def read_board(sysroot: Path) -> Board | None:
    """The board, None where there is no device tree (most x86 machines)."""
    for directory in _DIRECTORIES:
        try:
            compatible = read_text(sysroot / directory / "compatible")
        except SensorError:
            continue
        names = tuple(name for name in compatible.replace("\n", "\0").split("\0") if name)
        return Board(_model(sysroot / directory), names)
    return None


def _model(directory: Path) -> str:
    try:
        return read_text(directory / "model").rstrip("\0")
    except SensorError:
        return "board without a name"
