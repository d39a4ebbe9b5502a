"""`tidegate`: the command line."""

import importlib
import sys

import typer

from tidegate import __version__
from tidegate.cli.console import EX_UNAVAILABLE, EX_USAGE, err, out, write_any_encoding
from tidegate.extras import missing
from tidegate.paths import benchmarks_directory

TYPER_USAGE = 2

COMMANDS = {
    "run": "tidegate.cli.run",
    "demo": "tidegate.cli.demo",
    "status": "tidegate.cli.status",
    "doctor": "tidegate.cli.doctor",
    "record": "tidegate.cli.record",
}
"""Modules by the name of their command, which is also their function's."""

GROUPS = {"policy": "tidegate.cli.policy", "bundle": "tidegate.cli.bundle"}
"""Modules that have commands of their own under `app`."""


def application(asked: str = "") -> typer.Typer:
    """The whole command line, or its one command `asked`: to import all of them takes a small device seconds."""
    app = typer.Typer(
        name="tidegate",
        help="Keeps neural networks answering on devices that run on batteries and get hot.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(top)
    groups = GROUPS if benchmarks_directory() is None else {**GROUPS, "bench": "tidegate_bench.cli"}
    every = asked not in COMMANDS | groups
    for name, module in COMMANDS.items():
        if every or name == asked:
            app.command(name)(getattr(importlib.import_module(module), name))
    for name, module in groups.items():
        if every or name == asked:
            app.add_typer(importlib.import_module(module).app, name=name)
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
        application(sys.argv[1] if len(sys.argv) > 1 else "")()
    except ModuleNotFoundError as error:
        told = missing(error.name or "")
        if told is None:
            raise
        err.print(told, markup=False, soft_wrap=True)
        sys.exit(EX_UNAVAILABLE)
    except SystemExit as ended:
        # typer's own code for a wrong command line; sysexits(3), which all other codes here are of, has another.
        sys.exit(EX_USAGE if ended.code == TYPER_USAGE else ended.code)


if __name__ == "__main__":
    main()
