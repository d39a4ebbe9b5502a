"""Whether the kernel has suspended a device (Documentation/power/runtime_pm.rst): asking its files wakes it."""

from pathlib import Path

from tidegate_drivers.linux.sysfs import read_text
from tidegate_drivers.sensor import SensorError


def asleep(device: Path) -> bool:
    """Whether the device is suspended; False where the kernel doesn't say."""
    try:
        return read_text(device / "power/runtime_status") == "suspended"
    except SensorError:
        return False


def refuse_asleep(device: Path, name: str) -> None:
    """Raise SensorError for a device that is suspended."""
    if asleep(device):
        raise SensorError(f"{name} is suspended, and is not woken to be read")
