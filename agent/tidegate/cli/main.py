"""`tidegate`: the command line."""

import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperGroup

from tidegate import __version__
from tidegate.cli.console import err, fail, out, write_any_encoding
from tidegate.cli.paragraphs import fill_paragraphs
from tidegate.cli.told import UsageError, explain_usage
from tidegate.errors import BY_SIGPIPE, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE, TidegateError
from tidegate.extras import missing
from tidegate.paths import benchmarks_directory

TYPER_USAGE = 2
# typer's own codes for a wrong command line and for a pipe that was closed.
_CODES: Mapping[object, int] = {TYPER_USAGE: EX_USAGE, 1: BY_SIGPIPE}

COMMANDS = {
    "run": "tidegate.cli.run",
    "demo": "tidegate.cli.demo",
    "reload": "tidegate.cli.reload",
    "status": "tidegate.cli.status",
    "doctor": "tidegate.cli.doctor",
    "diag": "tidegate.cli.diag",
    "record": "tidegate.cli.record",
    "docs": "tidegate.cli.docs",
    "man": "tidegate.cli.man",
}
"""Modules by the name of their command, which is also their function's."""

GROUPS = {
    "config": "tidegate.cli.config",
    "policy": "tidegate.cli.policy",
    "key": "tidegate.cli.key",
    "bundle": "tidegate.cli.bundle",
    "fleet": "tidegate.cli.fleet",
    "footage": "tidegate.cli.footage",
}
"""Modules that have commands of their own under `app`."""


class Commands(TyperGroup):
    """All commands; what one of them can't do ends it with a message and an exit code, not with a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the command."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            explain_usage(error, sys.argv)
            raise

    def invoke(self, ctx: Any) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except TidegateError as error:
            fail(str(error), error.exit_code)
        except UsageError as error:
            explain_usage(error, sys.argv)
            raise
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            fail(f"{error.filename}: it is too long for the name of a file", EX_USAGE)
        except ModuleNotFoundError as error:
            told = missing(error.name or "")
            if told is None:
                raise
            fail(told, EX_UNAVAILABLE)


def application(asked: str = "") -> typer.Typer:
    """The whole command line, or its one command `asked`: to import all of them takes a small device seconds."""
    app = typer.Typer(
        cls=Commands,
        name="tidegate",
        help="Keeps neural networks answering on devices that run on batteries and get hot.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(top)
    benchmarks = benchmarks_directory() is not None
    groups = {**GROUPS, "bench": "tidegate_bench.cli"} if benchmarks else GROUPS
    # The manual page is of all commands.
    every = asked not in {*COMMANDS, *GROUPS, "bench"} - {"man"}
    for name, module in COMMANDS.items():
        if every or name == asked:
            app.command(name)(getattr(importlib.import_module(module), name))
    for name, module in groups.items():
        if every or name == asked:
            app.add_typer(importlib.import_module(module).app, name=name)
    if not benchmarks and (every or asked == "bench"):
        from tidegate.cli.bench import ANY_ARGUMENTS, bench  # noqa: PLC0415 - only an installed tidegate needs it

        app.command("bench", hidden=True, add_help_option=False, context_settings=ANY_ARGUMENTS)(bench)
    fill_paragraphs(app)
    return app


def top(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Keeps neural networks answering on devices that run on batteries and get hot."""
    if version:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `tidegate` command."""
    write_any_encoding()
    try:
        application(sys.argv[1] if len(sys.argv) > 1 else _completed())()
    except SystemExit as ended:
        sys.exit(_CODES.get(ended.code, ended.code))
    except Exception:  # noqa: BLE001 - its traceback is printed
        traceback.print_exc()
        err.say("this is a fault of tidegate: please report it, with these lines and what `tidegate diag` gathers")
        sys.exit(EX_SOFTWARE)


def _completed() -> str:
    """The command whose words a shell wants completed; empty where that is not known yet, and for none."""
    # As typer's completion hands them over: bash, then zsh and fish.
    words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", ""))
    return words.split()[1] if len(words.split()) > 1 and re.search(r"\S+\s+\S+\s", words) else ""


if __name__ == "__main__":
    main()
