"""`tidegate config`: is an agent.yaml right, before an agent has to find out."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.checks.check import Check
from tidegate.cli.checks.configuration import check_configuration
from tidegate.cli.console import err, out
from tidegate.config import DEFAULT_CONFIG
from tidegate.errors import EX_CONFIG

app = typer.Typer(help="Check an agent's configuration.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Check an agent's configuration."""


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The agent's configuration.")] = DEFAULT_CONFIG) -> None:
    """Say whether an agent would start with this file, its bundle, policy and password; 78 if it would not.

    Nothing is sent and nothing changed; `tidegate doctor --config` also tries the broker.
    """
    checks = check_configuration(file).checks
    faults = [each for each in checks if each.verdict == "fault"]
    for each in faults:
        err.print(_in_words(each), markup=False, soft_wrap=True)
    if faults:
        raise typer.Exit(EX_CONFIG)
    valid = "; ".join(each.said for each in checks if each.name in {"bundle", "policy"})
    out.print(f"{file}: valid: {valid}", markup=False, soft_wrap=True)


def _in_words(check: Check) -> str:
    """A document's error says where it is itself."""
    return check.said if check.name in {"agent.yaml", "policy"} else f"{check.name}: {check.said}"
