"""Where messages go: results to standard output, everything else to standard error; exit codes by sysexits(3)."""

import codecs
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import NoReturn

import typer
from rich.console import Console, ConsoleDimensions

from tidegate.cli.told import told
from tidegate.terminal.size import columns, terminal_size
from tidegate.terminal.table import Table, lay_out
from tidegate.terminal.wrapping import broken_at_words

# A pipe or a file has no columns: a line that is broken at 80 there is two lines to whatever reads it.
_PIPED_COLUMNS = 100_000


class Messages(Console):
    """Standard output or standard error, with sentences for a person."""

    def say(self, text: object) -> None:
        """A message as it is; in a terminal its lines end between words.

        A path or a key that is wider than the terminal stays whole: it can be copied.
        """
        room = columns(self) if self.is_terminal else None
        said = str(text) if room is None else broken_at_words(str(text), room)
        self.print(said, markup=False, highlight=False, soft_wrap=True)


out = Messages(highlight=False)
if columns(out) is None:
    out.width = _PIPED_COLUMNS
err = Messages(stderr=True, highlight=False)


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong on standard error and end with `code`."""
    err.say(told(message, sys.argv))
    raise typer.Exit(code)


def waiting(text: str) -> AbstractContextManager[object]:
    """What is under way for longer than a moment: a line that goes with its end, and comes in a terminal only."""
    return err.status(text) if err.is_terminal else nullcontext()


def fit_terminal() -> int | None:
    """Lay `out` out for the terminal as it is now; its height in lines, None where `out` is no terminal.

    Asked again for every frame: a terminal changes its size while something runs in it.
    """
    size = terminal_size(out)
    if size is None:
        return None
    out.size = ConsoleDimensions(size.columns, size.lines)
    return size.lines


def show_table(table: Table) -> None:
    """The table in the terminal's width; a pipe gets each row on one line."""
    out.print(lay_out(table, columns(out)), soft_wrap=True, end="")


def write_any_encoding() -> None:
    """Let a terminal that is not UTF-8 show what it can, instead of ending the command with a traceback."""
    codecs.register_error("plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):
            stream.reconfigure(errors="plain")  # type: ignore[union-attr]  # a test's stream may not have it


_PLAIN = {"≤": "<=", "≥": ">=", "→": "->", "▶": ">", "…": "...", "·": "."}


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end
