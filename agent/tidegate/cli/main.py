"""`tidegate`: the command line."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from tidegate import __version__
from tidegate.cli import bench, bundle, demo, doctor, policy, record, run, status
from tidegate.cli.console import fail, out, write_any_encoding
from tidegate.errors import EX_UNAVAILABLE, EX_USAGE, TidegateError
from tidegate.extras import missing
from tidegate.paths import benchmarks_directory

TYPER_USAGE = 2


class Commands(TyperGroup):
    """All commands; what one of them can't do ends it with a message and an exit code, not with a traceback."""

    def invoke(self, ctx: Any) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except TidegateError as error:
            fail(str(error), error.exit_code)
        except ModuleNotFoundError as error:
            told = missing(error.name or "")
            if told is None:
                raise
            fail(told, EX_UNAVAILABLE)


app = typer.Typer(
    cls=Commands,
    name="tidegate",
    help="Keeps neural networks answering on devices that run on batteries and get hot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("record")(record.record)
app.add_typer(policy.app, name="policy")
app.add_typer(bundle.app, name="bundle")
if benchmarks_directory() is not None:
    from tidegate_bench.cli import app as benchmarks

    app.add_typer(benchmarks, name="bench")
else:
    app.command("bench", hidden=True, add_help_option=False, context_settings=bench.ANY_ARGUMENTS)(bench.bench)


@app.callback(invoke_without_command=True)
def top(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Keeps neural networks answering on devices that run on batteries and get hot."""
    if version:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the `tidegate` command."""
    write_any_encoding()
    try:
        app()
    except SystemExit as ended:
        # typer's own code for a wrong command line; sysexits(3), which all other codes here are of, has another.
        sys.exit(EX_USAGE if ended.code == TYPER_USAGE else ended.code)


if __name__ == "__main__":
    main()
