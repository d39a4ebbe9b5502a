"""Keys as files: NAME.key for the private half, its owner's alone, and NAME.pub beside it."""

import errno
import os
import stat
from pathlib import Path

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.files import read_file
from tidegate.trust.keys import KeyFormatError, PrivateKey, PublicKey, parse_private, parse_public

PRIVATE_SUFFIX, PUBLIC_SUFFIX = ".key", ".pub"
_OTHERS = 0o077
_LARGEST_BYTES = 64 << 10
_REMEDIES: dict[int | None, str] = {
    errno.ENOENT: "make the directory, or name another",
    errno.ENOSPC: "make room on the disk, or name another",
    errno.EDQUOT: "make room on the disk, or name another",
}


class KeyFileError(TidegateError):
    """A file that holds no key, that others may read, or that can't be read or written."""

    exit_code = EX_DATAERR


def write_pair(private_file: Path, key: PrivateKey) -> Path:
    """Write a new private key (0600) and its public half; gives the latter's path.

    Raises KeyFileError, also where either file exists: a key that is overwritten is lost for good.
    """
    public_file = private_file.with_suffix(PUBLIC_SUFFIX)
    for path in (private_file, public_file):
        if os.path.lexists(path):
            raise KeyFileError(f"{path}: exists and is never overwritten; give the key another name")
    _write_new(private_file, key.pem, 0o600)
    try:
        _write_new(public_file, key.public.pem, 0o644)
    except KeyFileError:
        private_file.unlink()
        raise
    return public_file


def read_private(path: Path) -> PrivateKey:
    """The private key in a file. Raises KeyFileError, also where others than its owner may read it."""
    text = _read(path)
    try:
        key = parse_private(text)
    except KeyFormatError as error:
        raise KeyFileError(f"{path}: {error}") from None
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise KeyFileError(
            f"{path}: others may read this private key, found mode {mode:04o}, allowed is 0600; chmod 600 {path}"
        )
    return key


def read_public(path: Path) -> PublicKey:
    """The public key in a file, also in that of a private key. Raises KeyFileError."""
    text = _read(path)
    try:
        return parse_private(text).public if "PRIVATE KEY-----" in text else parse_public(text)
    except KeyFormatError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _write_new(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor has its mode from the first byte
                file.write(text)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            # Half a key would be in the way of the next attempt.
            path.unlink()
            raise
    except OSError as error:
        hint = _REMEDIES.get(error.errno, "name another")
        raise KeyFileError(f"{path}: can't be written: {error.strerror}; {hint}") from error


def _read(path: Path) -> str:
    try:
        return read_file(path, _LARGEST_BYTES).decode()
    except OSError as error:
        raise KeyFileError(f"{path}: can't be read: {error.strerror}; name a key file") from error
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: not a text; name a key file") from None
