"""`tidegate bench` where there are no benchmarks: an installed tidegate comes without them."""

import shlex

import typer

from tidegate.cli.console import fail
from tidegate.errors import EX_UNAVAILABLE

ANY_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


def bench(context: typer.Context) -> None:
    """Say where the benchmarks are; ends with EX_UNAVAILABLE whatever the arguments are."""
    wanted = shlex.join(context.args) or "NAME"
    fail(
        "Benchmarks come with tidegate's source tree, not with the installed package; "
        f"in the source tree run: ./install.sh run -- bench {wanted}",
        EX_UNAVAILABLE,
    )
