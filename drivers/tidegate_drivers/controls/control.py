"""One thing that can be set: its files, the values they allow, and why it can't be set here."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_drivers.linux.cpufreq import policies
from tidegate_drivers.linux.platform_profile import files as profile_files
from tidegate_drivers.linux.sysfs import parse_int, read_text
from tidegate_drivers.sensor import SensorError

GOVERNOR = "cpu_governor"
MAX_FREQUENCY = "cpu_max_frequency"
PLATFORM_PROFILE = "platform_profile"
NAMES = (GOVERNOR, MAX_FREQUENCY, PLATFORM_PROFILE)


class ControlError(Exception):
    """A setting can't be made or put back; the message says which, why and what to do."""


class OtherwiseTakenError(ControlError):
    """A file took the write, and says something else than what was written: `taken`."""

    def __init__(self, file: Path, value: str, taken: str) -> None:
        super().__init__(f"{file} was set to {value!r} and says {taken!r}: the firmware or a daemon keeps it")
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Place:
    """One file of a control, with what it allows: words, or a range in kHz."""

    file: Path
    words: tuple[str, ...] = ()
    khz: tuple[int, int] | None = None

    def check(self, value: str) -> str:
        """The value as the kernel wants it. Raises ControlError."""
        if self.khz is None:
            if value not in self.words:
                raise ControlError(f"{self.file} can't be {value!r}; it can be {', '.join(self.words)}")
            return value
        low, high = self.khz
        try:
            return str(parse_int(value, low, high, "kHz", f"the value for {self.file}"))
        except SensorError as error:
            raise ControlError(str(error)) from error


def places(name: str, sysroot: Path = Path("/")) -> tuple[Place, ...]:
    """All files that make up a control on this machine. Raises ControlError where there are none."""
    try:
        found = _find(name, sysroot)
    except SensorError as error:
        raise ControlError(f"{name} can't be set here: {error}") from error
    if not found:
        raise ControlError(f"{name} can't be set here: no frequency policy is registered")
    return tuple(found)


def write(file: Path, value: str) -> None:
    """Write a value as one system call, and check that it took. Raises ControlError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)
        taken = read_text(file)
    except PermissionError as error:
        raise ControlError(f"{file} may not be written by this user; run as root or set its group") from error
    except (OSError, SensorError) as error:
        raise ControlError(f"{file} did not take {value!r}: {error}") from error
    if taken != value:
        raise OtherwiseTakenError(file, value, taken)


def _find(name: str, sysroot: Path) -> Sequence[Place]:
    if name == PLATFORM_PROFILE:
        profile, choices = profile_files(sysroot)
        return [Place(profile, words=tuple(read_text(choices).split()))]
    if name == GOVERNOR:
        return [Place(policy / "scaling_governor", words=_governors(policy)) for policy in policies(sysroot)]
    if name == MAX_FREQUENCY:
        return [Place(policy / "scaling_max_freq", khz=_range_khz(policy)) for policy in policies(sysroot)]
    raise ControlError(f"unknown control {name!r}; allowed are {', '.join(NAMES)}")


def _governors(policy: Path) -> tuple[str, ...]:
    return tuple(read_text(policy / "scaling_available_governors").split())


def _range_khz(policy: Path) -> tuple[int, int]:
    low, high = (
        parse_int(read_text(policy / file), 1, 20_000_000, "kHz", str(policy / file))
        for file in ("cpuinfo_min_freq", "cpuinfo_max_freq")
    )
    return low, high
