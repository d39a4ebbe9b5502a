"""The firmware's power profile (kernel: ABI/testing/sysfs-platform_profile)."""

from functools import partial
from pathlib import Path

from tidegate_drivers.linux.sysfs import ImplausibleError, UnreadableError, read_text
from tidegate_drivers.reading import Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

PLATFORM_PROFILE = "platform_profile"

_DRIVER = "platform_profile"
_INTERVAL_S = 10.0


def files(sysroot: Path) -> tuple[Path, Path]:
    """The profile in force, and the profiles that the firmware offers."""
    directory = sysroot / "sys/firmware/acpi"
    return directory / "platform_profile", directory / "platform_profile_choices"


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`platform_profile`, for example balanced."""
    again = partial(discover, sysroot)
    try:
        read_profile(sysroot)
    except SensorError as error:
        missing = isinstance(error, UnreadableError) and error.gone
        reason = f"{error}: this firmware offers no profiles" if missing else str(error)
        return Discovery(
            _DRIVER, unavailable=(Unavailable(PLATFORM_PROFILE, _DRIVER, reason, error.grant),), again=again
        )
    read = partial(read_profile, sysroot)
    sensor = Sensor(PLATFORM_PROFILE, Unit.NAME, Provenance.MEASURED, _DRIVER, read, _INTERVAL_S)
    return Discovery(_DRIVER, (sensor,), again=again)


def read_profile(sysroot: Path) -> str:
    """The profile in force, one of those offered. Raises SensorError."""
    profile, choices = files(sysroot)
    word, offered = read_text(profile), read_text(choices).split()
    # `custom` is what the kernel says when several handlers disagree; it can't be chosen.
    if word not in (*offered, "custom"):
        raise ImplausibleError(f"{profile} says {word[:40]!r}, which is none of the choices {' '.join(offered)!r}")
    return word
