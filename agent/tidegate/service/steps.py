"""Steps of a plan as data: printed for a dry run, or executed one after the other.

Each may be cut off anywhere and executed again: files, trees and links come into their place whole, by a rename.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tidegate.files import clear_way, replace_file
from tidegate.service.errors import ServiceError

LAST_WORDS = 12
"""Lines of a failed program that are shown."""
WORDS_S = 20.0


class Step(Protocol):
    """One change to the machine; `str()` is what a dry run prints."""

    def execute(self) -> None:
        """Make the change. Raises OSError or ServiceError."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory that is there, its parents too."""

    path: Path
    mode: int = 0o755

    def __str__(self) -> str:
        return f"make the directory {self.path}"

    def execute(self) -> None:
        """Make it, and leave one that is there as it is."""
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            self.path.chmod(self.mode)


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file with this text. `shown` is printed in its place where the text is secret."""

    path: Path
    text: str = field(repr=False)
    mode: int = 0o644
    shown: str | None = None

    def __str__(self) -> str:
        text = self.text if self.shown is None else self.shown
        return "\n".join(
            [f"write {self.path} (mode {self.mode:o}):", *(f"    {line}" for line in text.splitlines())]
        )

    def execute(self) -> None:
        """Replace what is there."""
        replace_file(self.path, self.text, mode=self.mode)


@dataclass(frozen=True, slots=True)
class Tree:
    """A copy of a directory."""

    path: Path
    source: Path

    def __str__(self) -> str:
        return f"copy {self.source} to {self.path}"

    def execute(self) -> None:
        """Copy to a draft, put the old one aside, rename."""
        draft, aside = self.path.with_name(self.path.name + ".new"), self.path.with_name(self.path.name + ".old")
        for left in (draft, aside):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(self.source, draft, copy_function=shutil.copyfile)
        for each in (draft, *draft.rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        os.sync()
        if self.path.exists():
            self.path.rename(aside)
        draft.rename(self.path)
        shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, replaced in one go."""

    path: Path
    target: str

    def __str__(self) -> str:
        return f"link {self.path} -> {self.target}"

    def execute(self) -> None:
        """Make it beside the old one and rename."""
        draft = self.path.with_name(self.path.name + ".new")
        draft.unlink(missing_ok=True)
        if self.path.exists() and not self.path.is_symlink():
            clear_way(self.path)
        draft.symlink_to(self.target)
        draft.replace(self.path)


@dataclass(frozen=True, slots=True)
class Gone:
    """Nothing is left at this path; a link goes without what it points to."""

    path: Path

    def __str__(self) -> str:
        return f"remove {self.path}"

    def execute(self) -> None:
        """Remove a file, a link or a tree."""
        if self.path.is_dir() and not self.path.is_symlink():
            shutil.rmtree(self.path)
        else:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Synced:
    """All that was written is on the disk: a link must not outlive what it points to."""

    def __str__(self) -> str:
        return "wait until the disk has everything"

    def execute(self) -> None:
        """sync(2)."""
        os.sync()


@dataclass(frozen=True, slots=True)
class Command:
    """A program that ends with 0, or, with `may_fail`, whatever it ends with.

    `last_words` is another one, which knows more of why it failed.
    """

    arguments: tuple[str, ...]
    timeout_s: float
    may_fail: bool = False
    last_words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "run " + " ".join(self.arguments)

    def execute(self) -> None:
        """Run it. Raises ServiceError with its last words."""
        said, code = run(self.arguments, self.timeout_s)
        if code != 0 and not self.may_fail:
            if self.last_words:
                said += run(self.last_words, WORDS_S)[0]
            raise ServiceError(failure(self.arguments, code, said))


@dataclass(frozen=True, slots=True)
class Understood:
    """The new version reads the configuration, or the one before does not either, and then the trial tells."""

    new: tuple[str, ...]
    before: tuple[str, ...]
    timeout_s: float

    def __str__(self) -> str:
        return "run " + " ".join(self.new)

    def execute(self) -> None:
        """Ask both. Raises ServiceError with the faults that the new version alone finds."""
        said, code = run(self.new, self.timeout_s)
        if code != 0 and run(self.before, self.timeout_s)[1] == 0:
            raise ServiceError(
                f"the new version does not take this configuration, and the one before does:\n  {said.strip()}"
            )


def run(arguments: Iterable[str], timeout_s: float) -> tuple[str, int]:
    """What a program says on both channels, and its exit code. Raises ServiceError where it can't be had."""
    command = list(arguments)
    kept = {name: value for name, value in os.environ.items() if name not in HARMFUL}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            cwd="/",
            env=kept,
        )
    except FileNotFoundError:
        raise ServiceError(f"{command[0]}: there is no such program") from None
    except PermissionError:
        raise ServiceError(f"{command[0]}: may not be run") from None
    except subprocess.TimeoutExpired as ended:
        said = ended.stdout.decode(errors="replace") if isinstance(ended.stdout, bytes) else ended.stdout or ""
        raise ServiceError(
            f"{' '.join(command)}: not done after {timeout_s:g} s; it said: {said[-500:]}"
        ) from None
    return done.stdout, done.returncode


HARMFUL = {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "VIRTUAL_ENV"}
"""Would have Python or pip work on another installation than the one made here."""


def failure(arguments: Iterable[str], code: int, said: str) -> str:
    """Which program failed, and what it said last."""
    if "No space left on device" in said:
        return f"no space left while running {' '.join(arguments)}; make room and run the same command again"
    words = "\n  ".join(said.strip().splitlines()[-LAST_WORDS:]) or "nothing"
    return f"{' '.join(arguments)} ended with {code}; it said:\n  {words}"


def execute(steps: Iterable[Step], before: Callable[[Step], None] = lambda _: None) -> None:
    """Execute a plan; `before` sees each step first. Raises ServiceError, and then the rest is not executed."""
    for step in steps:
        before(step)
        try:
            step.execute()
        except OSError as error:
            raise ServiceError(_explained(step, error)) from error


def _explained(step: Step, error: OSError) -> str:
    first = str(step).partition("\n")[0]
    where = error.filename or first
    if error.errno == errno.ENOSPC:
        free = ""
        with suppress(OSError):
            free = f", {shutil.disk_usage(Path(os.fsdecode(where)).parent).free >> 20} MB are free"
        return f"{where}: no space left on the disk{free}; make room and run the same command again"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{where}: {error.strerror} (to {first}); run as root on a disk that can be written, or use --user"
    return f"{where}: {error.strerror or error} (to {first})"
