"""Graphics of /sys/class/drm: clocks, idle times and throttle reasons of Intel's (i915, xe), the load of AMD's.

Kernel: Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon and its neighbours, drivers/gpu/drm/i915/gt/
intel_gt_sysfs_pm.c, drivers/gpu/drm/xe/xe_gt_{freq,idle,throttle}.c, Documentation/gpu/amdgpu/thermal.rst.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.runtime_pm import asleep, refuse_asleep
from tidegate_drivers.linux.sysfs import UnreadableError, entries, exists, read_int
from tidegate_drivers.sensor import SensorError

_CARD = re.compile(r"card[0-9]{1,3}")
_TILE = re.compile(r"tile[0-9]{1,2}")
_GT = re.compile(r"gt[0-9]{1,2}")
_MOST_MHZ = 20_000
_MOST_MS = 1 << 63
_YES_NO = (0, 1, "(0 no, 1 yes)")
# Budgets in which such a chip spends its days under load, at its rated clock: a cap on turbo, no distress.
_BUDGETS = frozenset({"pl1", "pl2", "psys_pl1", "psys_pl2", "p0_freq"})


@dataclass(frozen=True, slots=True)
class Gt:
    """One graphics unit of Intel's: its files, as far as this kernel has them, the first of each that is there."""

    name: str
    device: Path
    clocks: tuple[Path, ...]
    idle: tuple[Path, ...]
    status: Path
    reason_prefix: str

    def clock_hz(self, file: Path) -> float:
        """Its clock. Raises SensorError, also while it sleeps: it has none then, and is not woken to be read."""
        refuse_asleep(self.device, self.name)
        megahertz = read_int(file, 0, _MOST_MHZ, "MHz")
        if megahertz == 0:
            raise SensorError(f"{self.name} is suspended: its clock is stopped")
        return megahertz * 1e6

    def idle_s(self, file: Path) -> float:
        """How long it has slept since boot. Raises SensorError."""
        refuse_asleep(self.device, self.name)
        return read_int(file, 0, _MOST_MS, "ms") / 1e3

    def reasons(self) -> tuple[str, ...]:
        """Why it is held back now, empty when it is not. Raises SensorError."""
        if self._rests() or not read_int(self.status, *_YES_NO):
            return ()
        named = {path: path.name.removeprefix(self.reason_prefix) for path in entries(self.status.parent)}
        causes = {path: cause for path, cause in named.items() if cause != path.name and path != self.status}
        return tuple(cause for path, cause in causes.items() if read_int(path, *_YES_NO)) or ("unknown",)

    def _rests(self) -> bool:
        """Whether nothing is there to be held back; asking for the status would put off its sleep each time."""
        if asleep(self.device):
            return True
        try:
            return exists(self.clocks[0]) and read_int(self.clocks[0], 0, _MOST_MHZ, "MHz") == 0
        except SensorError:
            return False

    def slowed(self) -> bool:
        """Whether heat, current or the board hold it back, not a power budget. Raises SensorError."""
        return bool(set(self.reasons()) - _BUDGETS)


def cards(sysroot: Path) -> list[Path]:
    """The cards, by number; none where the kernel knows no graphics. Raises SensorError."""
    return _named(sysroot / "sys/class/drm", _CARD)


def gts(card: Path) -> list[Gt]:
    """Intel's graphics units of a card. Raises SensorError."""
    device = card / "device"
    found = [_xe(card, tile, gt) for tile in _named(device, _TILE) for gt in _named(tile, _GT)]
    found += [_i915(card, gt) for gt in _named(card / "gt", _GT)]
    # Before 6.5 there was one a card, with its files in the card itself.
    whole = Gt(
        card.name,
        device,
        (card / "gt_act_freq_mhz", card / "gt_cur_freq_mhz"),
        (card / "power/rc6_residency_ms",),
        card / "gt/gt0/throttle_reason_status",
        "throttle_reason_",
    )
    return found or [whole]


def throttled_sources(sysroot: Path) -> tuple[list[Gt], list[SensorError]]:
    """The graphics units that tell whether they are held back, and why it can't be told of others."""
    found: list[Gt] = []
    faults: list[SensorError] = []
    try:
        for card in cards(sysroot):
            found += [gt for gt in gts(card) if exists(gt.status)]
    except SensorError as error:
        faults.append(error)
    return found, faults


def there(files: Sequence[Path]) -> Path | None:
    """The first of these files that this kernel has, readable now or not."""
    return next((file for file in files if exists(file)), None)


def _i915(card: Path, gt: Path) -> Gt:
    first = gt.name == "gt0"
    clocks = (gt / "rps_act_freq_mhz", *([card / "gt_act_freq_mhz"] if first else []), gt / "rps_cur_freq_mhz")
    idle = (gt / "rc6_residency_ms", *([card / "power/rc6_residency_ms"] if first else []))
    return Gt(
        f"{card.name}/{gt.name}", card / "device", clocks, idle, gt / "throttle_reason_status", "throttle_reason_"
    )


def _xe(card: Path, tile: Path, gt: Path) -> Gt:
    clocks = (gt / "freq0/act_freq", gt / "freq0/cur_freq")
    idle = (gt / "gtidle/idle_residency_ms",)
    status = gt / "freq0/throttle/status"
    return Gt(f"{card.name}/{tile.name}/{gt.name}", card / "device", clocks, idle, status, "reason_")


def _named(directory: Path, kind: re.Pattern[str]) -> list[Path]:
    try:
        return [path for path in entries(directory) if kind.fullmatch(path.name)]
    except UnreadableError as error:
        if error.gone:
            return []
        raise
