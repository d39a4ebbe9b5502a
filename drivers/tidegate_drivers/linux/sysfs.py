"""Attributes of sysfs and procfs: one system call a read, failures in words, numbers within a range."""

import errno
import os
import re
import time
from pathlib import Path

from tidegate_drivers.sensor import SensorError

_PAGE = 4096
_PADDING = " \t\r\n\0"
_RETRY_AFTER_S = 0.01
_LINE = re.compile(r"[ -~]{1,200}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")

_WORDS = {
    errno.ENOENT: "is not there",
    errno.ENOTDIR: "is not there",
    errno.EACCES: "may not be read by this user",
    errno.EPERM: "is refused by its driver or by a sandbox",
    errno.EAGAIN: "is busy and gave no value",
    errno.EIO: "failed: the device did not answer the kernel",
    errno.ENODATA: "has no data now",
    errno.ENODEV: "belongs to a device that is gone",
    errno.ENXIO: "belongs to a device that is gone",
    errno.EOPNOTSUPP: "is switched off in this kernel",
}

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENODATA, errno.ENODEV, errno.ENXIO})


class UnreadableError(SensorError):
    """An attribute could not be read; `code` is the errno."""

    def __init__(self, path: Path, code: int) -> None:
        words = _WORDS.get(code) or f"failed: {os.strerror(code)}"
        super().__init__(f"{path} {words} ({errno.errorcode.get(code, code)})")
        self.path = path
        self.code = code
        if self.denied:
            # Until the next boot: a udev rule or systemd-tmpfiles makes it last.
            self.grant = f"sudo chmod a+r {path}"

    @property
    def gone(self) -> bool:
        """Whether there is nothing to read, rather than something that failed."""
        return self.code in _GONE

    @property
    def denied(self) -> bool:
        """Whether a permission is what is missing; EPERM is the driver's own word, as of a GPU that is asleep."""
        return self.code == errno.EACCES


class ImplausibleError(SensorError):
    """An attribute was read, and what it says can't be true."""


class OutOfRangeError(ImplausibleError):
    """A number was read that no such device can mean; drivers use these to say "nothing here"."""


def read_text(path: Path) -> str:
    """The attribute's first page, without white space and NUL around it. Raises UnreadableError."""
    try:
        return _read_page(path)
    except BlockingIOError:
        # EAGAIN: a conversion is under way. A moment later there is mostly a value, and without this a
        # single busy moment would count as a lost sensor.
        time.sleep(_RETRY_AFTER_S)
    except OSError as error:
        raise UnreadableError(path, error.errno or errno.EIO) from error
    try:
        return _read_page(path)
    except OSError as error:
        raise UnreadableError(path, error.errno or errno.EIO) from error


def _read_page(path: Path) -> str:
    # One os.read, no file object: a buffered reader turns EAGAIN into None and fails with TypeError
    # (psutil#2477), and an attribute must be taken in one call to be of one moment.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        content = os.read(descriptor, _PAGE)
    finally:
        os.close(descriptor)
    # Some drivers count the string's end in, and a capture can pass through a system that ends lines its own way.
    return content.decode("utf-8", "replace").replace("\r\n", "\n").strip(_PADDING)


def read_int(path: Path, low: int, high: int, unit: str) -> int:
    """The attribute as an integer of low..high. Raises UnreadableError, ImplausibleError, OutOfRangeError."""
    return parse_int(read_text(path), low, high, unit, str(path))


def parse_int(text: str, low: int, high: int, unit: str, where: str) -> int:
    """The text, which came from `where`, as an integer of low..high. Raises ImplausibleError, OutOfRangeError."""
    if not _INTEGER.fullmatch(text):
        raise ImplausibleError(f"{where} says {text[:40]!r}, not a whole number of {unit}")
    value = int(text)
    if not low <= value <= high:
        raise OutOfRangeError(f"{where} says {value} {unit}, plausible is {low} to {high}")
    return value


def read_word(path: Path) -> str:
    """The attribute's text when it is one printable line, empty when it is not there. Raises SensorError."""
    try:
        text = read_text(path)
    except UnreadableError as error:
        if error.code in (errno.ENOENT, errno.ENOTDIR):
            return ""
        raise
    if not _LINE.fullmatch(text):
        raise ImplausibleError(f"{path} says {text[:40]!r}, not one line of text")
    return text


def entries(directory: Path) -> list[Path]:
    """The directory's entries in name order. Raises UnreadableError."""
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise UnreadableError(directory, error.errno or errno.EIO) from error


def exists(path: Path) -> bool:
    """Whether the kernel has this attribute, without asking the device for it, which could wake it."""
    try:
        return path.exists()
    except OSError:
        return True  # what may not even be looked at will say so when it is read
