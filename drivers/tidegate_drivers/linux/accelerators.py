"""Load and clock of graphics and neural accelerators, each by the name that the kernel gives it.

What a device is asked for must not keep it awake: one that is suspended is left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tidegate_drivers.linux import devfreq, graphics
from tidegate_drivers.linux.busy_share import BusyShare
from tidegate_drivers.linux.cpufreq import FREQUENCY
from tidegate_drivers.linux.graphics import Gt, there
from tidegate_drivers.linux.runtime_pm import refuse_asleep
from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_int
from tidegate_drivers.reading import Provenance, Unit, Value
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable

GPU = "gpu"
NPU = "npu"
THROTTLE_REASON = "throttle_reason"

_DRIVER = "accelerators"
# Longer than the kernel waits before it suspends an idle card: asking keeps none awake.
_INTERVAL_S = 15.0
_PERCENT = (0, 100, "%")
_MOST_US = (1 << 63) - 1
_MOST_MHZ = 20_000
_MOST_HZ = 20_000_000_000


@dataclass(slots=True)
class _Found:
    sensors: list[Sensor] = field(default_factory=list)
    unavailable: list[Unavailable] = field(default_factory=list)

    def add(
        self,
        name: str,
        unit: Unit,
        source: str,
        read: Callable[[], Value],
        provenance: Provenance = Provenance.MEASURED,
    ) -> None:
        self.sensors.append(Sensor(name, unit, provenance, f"{_DRIVER}/{source}", read, _INTERVAL_S, Cost.DEVICE))

    def refuse(self, name: str, reason: str, grant: str = "") -> None:
        self.unavailable.append(Unavailable(name, _DRIVER, reason, grant))


def discover(sysroot: Path = Path("/"), shares: dict[str, BusyShare] | None = None) -> Discovery:
    """`gpu|npu|frequency|throttle_reason/<device>`; nothing, not even unavailable, without such a device.

    `shares` outlasts one discovery.
    """
    shares = {} if shares is None else shares
    again = partial(discover, sysroot, shares)
    found = _Found()
    for kind, look in ((GPU, _cards), (GPU, _scaled), (NPU, _neural)):
        try:
            look(sysroot, shares, found)
        except UnreadableError as error:
            if not error.gone:
                found.refuse(kind, str(error), error.grant)
        except SensorError as error:
            found.refuse(kind, str(error), error.grant)
    return Discovery(_DRIVER, tuple(found.sensors), tuple(found.unavailable), again)


def _cards(sysroot: Path, shares: dict[str, BusyShare], found: _Found) -> None:
    for card in graphics.cards(sysroot):
        device = card / "device"
        if (busy := there([device / "gpu_busy_percent"])) is not None:
            found.add(f"{GPU}/{card.name}", Unit.PERCENT, card.name, partial(_busy_percent, device, busy))
            _amd_clock(card, found)
            continue
        for gt in graphics.gts(card):
            _gt(gt, shares, found)


def _amd_clock(card: Path, found: _Found) -> None:
    try:
        chips = entries(card / "device/hwmon")
    except UnreadableError as error:
        if not error.gone:
            found.refuse(f"{FREQUENCY}/{card.name}", str(error), error.grant)
        return
    if (clock := there([chip / "freq1_input" for chip in chips])) is not None:
        found.add(f"{FREQUENCY}/{card.name}", Unit.HERTZ, card.name, partial(_hertz, card / "device", clock))


def _gt(gt: Gt, shares: dict[str, BusyShare], found: _Found) -> None:
    if (clock := there(gt.clocks)) is not None:
        found.add(f"{FREQUENCY}/{gt.name}", Unit.HERTZ, gt.name, partial(gt.clock_hz, clock))
    if (idle := there(gt.idle)) is not None:
        share = shares.setdefault(str(idle), BusyShare(counts_idle=True))
        # Awake is not busy through and through, though it is never less.
        read = partial(share.percent, partial(gt.idle_s, idle))
        found.add(f"{GPU}/{gt.name}", Unit.PERCENT, gt.name, read, Provenance.ESTIMATED)
    if there([gt.status]) is not None:
        found.add(f"{THROTTLE_REASON}/{gt.name}", Unit.NAME, gt.name, lambda: "+".join(gt.reasons()) or "none")


def _scaled(sysroot: Path, _shares: dict[str, BusyShare], found: _Found) -> None:
    try:
        devices, hidden = devfreq.devices(sysroot)
    except UnreadableError as error:
        if not error.gone:
            raise
        devices, hidden = [], []
    for reason in hidden:
        found.refuse(f"{FREQUENCY}/unnamed", reason)
    for device in devices:
        found.add(f"{FREQUENCY}/{device.name}", Unit.HERTZ, device.name, device.clock_hz)
        if there([device.path / "load"]) is None:
            continue
        name = f"{device.kind}/{device.name}"
        if device.kind == NPU:
            # rknpu_devfreq.c fills in no busy time: it says 0 whatever the NPU does.
            found.refuse(name, f"{device.path / 'load'} is 0 at any load")
        else:
            found.add(name, Unit.PERCENT, device.name, device.load_percent)
    if (load := devfreq.tegra_load(sysroot, devices)) is not None:
        found.add(f"{GPU}/{load[0]}", Unit.PERCENT, load[0], partial(devfreq.per_mille, load[1]))


def _neural(sysroot: Path, shares: dict[str, BusyShare], found: _Found) -> None:
    """NPUs of /sys/class/accel (kernel: drivers/accel/ivpu/ivpu_sysfs.c)."""
    for accel in entries(sysroot / "sys/class/accel"):
        device = accel / "device"
        if (busy := there([device / "npu_busy_time_us"])) is not None:
            share = shares.setdefault(str(busy), BusyShare(counts_idle=False))
            read = partial(share.percent, partial(_seconds, busy))
            found.add(f"{NPU}/{accel.name}", Unit.PERCENT, accel.name, read)
        if (clock := there([device / "npu_current_frequency_mhz"])) is not None:
            read_clock = partial(_megahertz, accel.name, device, clock)
            found.add(f"{FREQUENCY}/{accel.name}", Unit.HERTZ, accel.name, read_clock)


def _busy_percent(device: Path, file: Path) -> float:
    refuse_asleep(device, device.parent.name)
    return float(read_int(file, *_PERCENT))


def _hertz(device: Path, file: Path) -> float:
    refuse_asleep(device, device.parent.name)
    hertz = read_int(file, 0, _MOST_HZ, "Hz")
    if hertz == 0:
        raise SensorError(f"{device.parent.name} is off: its clock is stopped")
    return float(hertz)


def _seconds(file: Path) -> float:
    return read_int(file, 0, _MOST_US, "us") / 1e6


def _megahertz(name: str, device: Path, file: Path) -> float:
    refuse_asleep(device, name)
    megahertz = read_int(file, 0, _MOST_MHZ, "MHz")
    if megahertz == 0:
        raise SensorError(f"{name} is suspended: its clock is stopped")
    return megahertz * 1e6
