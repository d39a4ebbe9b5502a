"""Clock and load of GPUs and NPUs in /sys/class/devfreq (kernel: Documentation/ABI/testing/sysfs-class-devfreq).

The clock is the kernel's own; a `load` only some makers' kernels have: `28@300000000Hz` in % (Rockchip), or per
mille in the device's own directory (NVIDIA's Tegra, Jetson Linux Developer Guide).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.sysfs import ImplausibleError, entries, exists, read_int, read_text, read_word
from tidegate_drivers.sensor import SensorError

# Memory controllers, buses, flash and codecs scale their clock as well.
_GPU = re.compile(
    r"gpu|mali|kgsl|adreno|pvr|panfrost|panthor|lima|etnaviv|gp10b|gv11b|ga10b|gb10b|gm20b", re.IGNORECASE
)
_NPU = re.compile(r"(?<![a-z])npu|dla[0-9]|ethos|apusys", re.IGNORECASE)
# The buses to a GPU are named after it.
_BUS = re.compile(r"bw|bus|mon|mem|lat", re.IGNORECASE)
_AT_CLOCK = re.compile(r"([0-9]{1,3})@[0-9]+Hz")
_CLOCK_HZ = (0, 20_000_000_000, "Hz")
# Vendor kernels exist in which some devices count kHz.
_SURELY_HZ = 1_000_000
# JetPack 4 to 7, and a link of that name on most of them.
_TEGRA_LOADS = (
    "sys/devices/gpu.0/load",
    "sys/devices/platform/gpu.0/load",
    "sys/devices/57000000.gpu/load",
    "sys/devices/17000000.gp10b/load",
    "sys/devices/17000000.gv11b/load",
    "sys/devices/17000000.ga10b/load",
    "sys/devices/platform/17000000.gv11b/load",
    "sys/devices/platform/17000000.ga10b/load",
    "sys/devices/platform/17000000.gpu/load",
    "sys/devices/platform/bus@0/17000000.gpu/load",
)
_TEGRA_GPU = re.compile(r"(57000000|17000000)\.(gpu|gm20b|gp10b|gv11b|ga10b)|gpu\.0|gb10b|gpu-gpc-0")


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU or NPU; `kind` is `gpu` or `npu`."""

    kind: str
    name: str
    path: Path

    def clock_hz(self) -> float:
        """Its clock. Raises SensorError, also for 0: it is off then."""
        hertz = read_int(self.path / "cur_freq", *_CLOCK_HZ)
        if hertz == 0:
            raise SensorError(f"{self.name} is off: its clock is stopped")
        if hertz < _SURELY_HZ:
            raise ImplausibleError(f"{self.path / 'cur_freq'} says {hertz}, too little to be in Hz: kHz?")
        return float(hertz)

    def load_percent(self) -> float:
        """Its load in the form of Rockchip's kernel. Raises SensorError."""
        text = read_text(self.path / "load")
        match = _AT_CLOCK.fullmatch(text)
        if match is None or int(match[1]) > 100:
            raise ImplausibleError(
                f"{self.path / 'load'} says {text[:40]!r}, not a load in % as in 28@300000000Hz"
            )
        return float(match[1])


def devices(sysroot: Path) -> tuple[list[Device], list[str]]:
    """The GPUs and NPUs, and why others can't be told. Raises SensorError."""
    found: list[Device] = []
    hidden: list[str] = []
    for path in entries(sysroot / "sys/class/devfreq"):
        try:
            # Before 5.9 the directory itself had the device's name, and for a while it had neither.
            name = (read_word(path / "name") or path.name).replace("/", "_")
        except SensorError as error:
            hidden.append(str(error))
            continue
        kind = "npu" if _NPU.search(name) else "gpu" if _GPU.search(name) else ""
        if kind and not _BUS.search(name):
            found.append(Device(kind, name, path))
    return found, hidden


def tegra_load(sysroot: Path, found: list[Device]) -> tuple[str, Path] | None:
    """A Tegra's file of its GPU's load in per mille, and the GPU's name; None on other chips."""
    own = [device for device in found if _TEGRA_GPU.fullmatch(device.name)]
    for device in own:
        if exists(device.path / "device/load"):
            return device.name, device.path / "device/load"
    for path in _TEGRA_LOADS:
        if exists(sysroot / path):
            return (own[0].name if own else Path(path).parent.name), sysroot / path
    return None


def per_mille(file: Path) -> float:
    """A load that is written in per mille, in %. Raises SensorError."""
    return read_int(file, 0, 1000, "per mille") / 10
