"""`tidegate config`: is an agent.yaml right, before an agent has to find out."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.checks.check import Check
from tidegate.cli.checks.configuration import check_configuration
from tidegate.cli.checks.network import check_unit
from tidegate.cli.console import err, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.config import DEFAULT_CONFIG, AgentConfig
from tidegate.errors import EX_CONFIG
from tidegate.network.other_machines import other_machines

app = typer.Typer(help="Check an agent's configuration, or print its schema.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """Check an agent's configuration."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The agent's configuration.")] = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say whether an agent would start with this file, its bundle, policy, password and token; 78 if it would not.

    Nothing is sent and nothing changed; `tidegate doctor --config` also tries the broker.
    """
    found = check_configuration(file)
    # A warning: the agent starts, and the way out is what one runs after the file is found valid.
    unit = () if found.config is None else tuple(check_unit(found.config, file, "warning"))
    checks = (*found.checks, *unit)
    faults = [each for each in checks if each.verdict == "fault"]
    if as_json:
        others = None if found.config is None else [asdict(each) for each in other_machines(found.config)]
        document = {"file": str(file), "valid": not faults, "checks": [asdict(each) for each in checks]}
        write_json(document | {"other_machines": others})
        raise typer.Exit(EX_CONFIG if faults else 0)
    for each in faults:
        err.say(_in_words(each))
    if faults:
        raise typer.Exit(EX_CONFIG)
    for each in checks:
        if each.verdict == "warning":
            err.say(f"{each.name}: {each.said}; {each.way_out}")
    valid = "; ".join(
        each.said for each in checks if each.name in {"bundle", "policy"} or each.name[:6] == "model "
    )
    out.say(f"{file}: valid: {valid}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of agent.yaml, for editors; profiles/agent.schema.json is this."""
    sys.stdout.write(json.dumps(AgentConfig.model_json_schema(by_alias=True), indent=1) + "\n")


def _in_words(check: Check) -> str:
    """A document's error says where it is itself."""
    return check.said if check.name in {"agent.yaml", "policy"} else f"{check.name}: {check.said}"
