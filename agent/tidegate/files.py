"""Files that are replaced whole: whoever reads one finds the old content or the new, never a torn one."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, content: str | bytes, *, synced: bool = True, mode: int | None = None) -> None:
    """Replace a file that only this process writes, and make its directory if need be. `synced`: it outlives a
    power cut from here on. `mode`: its permissions, from the first byte.

    Raises OSError and then leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    clear_way(draft)
    clear_way(path)
    _replace(path, draft, content.encode() if isinstance(content, str) else content, synced=synced, mode=mode)
    if synced:
        # The rename is durable only with the directory that holds it.
        _sync(path.parent)


def cache_file(path: Path, content: bytes) -> None:
    """Replace a file in a directory where several processes keep what can be made again; makes the directory.

    Raises OSError and then leaves the old one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, _own_draft(path), content, synced=False)


def place_directory(path: Path, fill: Callable[[Path], object]) -> None:
    """Make a directory of files whole, in a place that several processes share; `fill` gets a draft to write to.

    Raises OSError, also when another process was first, and what `fill` raises; then nothing new is left.
    """
    draft = _own_draft(path)
    try:
        draft.mkdir(parents=True, exist_ok=True)
        fill(draft)
        # A rename may reach the disk before what it renames, and these devices lose their power.
        for file in draft.iterdir():
            _sync(file)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _own_draft(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}")


def _replace(path: Path, draft: Path, content: bytes, *, synced: bool, mode: int | None = None) -> None:
    try:
        with draft.open("wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        # On a full disk a draft left behind takes the room that the next attempt needs.
        with suppress(OSError):
            draft.unlink()
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit_bytes: int = 16 << 20) -> bytes:
    """What is in a plain file. Raises OSError, also for anything else in its place, which could block for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a path can't be opened without waiting for a pipe's other end
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        if found.st_size > limit_bytes:
            raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", str(path))
        return file.read(limit_bytes)


def clear_way_for_socket(path: Path) -> None:
    """Take away the file or socket at `path`, and rename a directory there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        clear_way(path)
    else:
        path.unlink(missing_ok=True)


def clear_way(path: Path) -> Path | None:
    """Rename whatever stands where a plain file belongs (a directory, a pipe); gives the new name. Raises OSError.

    Nothing of a stranger's is deleted; after nine such things it is an OSError.
    """
    if not os.path.lexists(path) or path.is_file():
        return None
    if path.is_symlink():
        # It points to nothing, and what is written through it would go to a place that nobody chose.
        path.unlink()
        return None
    for number in range(1, 10):
        aside = path.with_name(f"{path.name}.in-the-way-{number}")
        if not os.path.lexists(aside):
            try:
                path.rename(aside)
            except FileNotFoundError:
                # Another process has taken it away meanwhile.
                return None
            return aside
    raise FileExistsError(
        errno.EEXIST, "not a plain file, and nine others were moved aside already; remove them", str(path)
    )


KEPT_ASIDE = 3
"""How many damaged files of one name are kept for whoever wants to look into one."""


def set_aside(path: Path) -> Path:
    """Rename a damaged file to NAME.damaged-N and drop the oldest of those; gives the new name. Raises OSError."""
    stem = f"{path.name}.damaged-"
    numbers = (each.name.removeprefix(stem) for each in path.parent.glob(f"{stem}*"))
    before = sorted(int(number) for number in numbers if number.isdecimal())
    aside = path.with_name(f"{stem}{before[-1] + 1 if before else 1}")
    path.replace(aside)
    for number in before[: max(0, len(before) + 1 - KEPT_ASIDE)]:
        with suppress(OSError):
            path.with_name(f"{stem}{number}").unlink()
    return aside
