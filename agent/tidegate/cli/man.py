"""`tidegate man`: the manual page of all commands."""

import shutil
import subprocess
import sys
from collections.abc import Iterable

import typer

from tidegate import RELEASED, __version__
from tidegate.cli.command_tree import Command, Option, commands
from tidegate.cli.console import out
from tidegate.errors import (
    BY_SIGINT,
    BY_SIGPIPE,
    EX_CONFIG,
    EX_DATAERR,
    EX_SOFTWARE,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    EX_USAGE,
)

PURPOSE = "keeps neural networks answering on devices that run on batteries and get hot"
EXIT_CODES = {
    0: "It did what was asked.",
    EX_USAGE: "The command line is wrong.",
    EX_DATAERR: "What it was given is wrong, or a device refused it.",
    EX_UNAVAILABLE: "Something that is needed is missing or can't be reached.",
    EX_SOFTWARE: "A fault of tidegate; please report it.",
    EX_TEMPFAIL: "It may succeed later: somebody did not answer in time.",
    EX_CONFIG: "agent.yaml, or a file that it names, is wrong.",
    BY_SIGINT: "It was ended by Ctrl-C.",
    BY_SIGPIPE: "Nobody reads its output any more, as behind head(1).",
}
FILES = {
    "/etc/tidegate/agent.yaml": "What runs on this device; `tidegate config schema` prints its schema.",
    "/var/lib/tidegate": "State of the service: policies, telemetry that waits, reports of crashes.",
}


def man(context: typer.Context) -> None:
    """Show the manual page of all commands; into a file or a pipe it goes as roff.

    `tidegate man > ~/.local/share/man/man1/tidegate.1` lets `man tidegate` find it.
    """
    every = commands(context.find_root().command)
    # Benchmarks come with a clone only; a page is of what is installed.
    page = manual_page(each for each in every if not each.words.startswith("bench"))
    if sys.stdout.isatty() and shutil.which("man"):
        subprocess.run(["man", "-l", "-"], input=page, text=True, check=False)
    else:
        out.file.write(page)


def manual_page(every: Iterable[Command]) -> str:
    """The page tidegate(1) in roff, man(7)."""
    lines = [
        f'.TH TIDEGATE 1 "{RELEASED:%Y-%m-%d}" "tidegate {__version__}" "User Commands"',
        ".SH NAME",
        f"tidegate \\- {PURPOSE}",
        ".SH SYNOPSIS",
        ".B tidegate",
        "COMMAND [OPTIONS] ...",
        ".SH COMMANDS",
        *(line for command in every for line in _section(command)),
        ".SH EXIT STATUS",
        "As in sysexits(3):",
        *(line for code, told in EXIT_CODES.items() for line in (".TP", f".B {code}", _text(told))),
        ".SH FILES",
        *(line for path, told in FILES.items() for line in (".TP", f".I {_text(path)}", _text(told))),
        ".SH SEE ALSO",
        "systemd(1), mosquitto(8); the documentation: tidegate docs",
    ]
    return "\n".join(lines) + "\n"


def _section(command: Command) -> list[str]:
    paragraphs = [" ".join(each.split()) for each in command.help.split("\n\n") if each.strip()]
    body = [line for each in paragraphs for line in (".PP", _text(each))][1:]
    return [f".SS {_text(command.usage)}", *body, *(line for each in command.options for line in _entry(each))]


def _entry(option: Option) -> list[str]:
    default = "" if option.default is None else f" Default: {option.default}."
    return [".TP", f".B {_text(option.names)}", _text(" ".join(option.help.split()) + default) or "\\&"]


def _text(told: str) -> str:
    """Text that roff takes as it is: no escapes, no requests at the beginning of a line, hyphens to be copied."""
    escaped = told.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\\&" + escaped if escaped.startswith(".") else escaped
