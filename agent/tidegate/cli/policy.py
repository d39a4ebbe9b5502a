"""`tidegate policy`: check, show, explain and simulate a policy on the desk, sign and push one to a device."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tidegate.boards import find_profile
from tidegate.boards.device import Device
from tidegate.cli import policy_drift, policy_explain, policy_push, policy_sign, policy_simulate, policy_trusted
from tidegate.cli.console import err, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.policy_options import (
    BoardOption,
    LadderOption,
    PolicyFile,
    open_ladder,
    read_policy,
)
from tidegate.documents import Document, DocumentError, Problem
from tidegate.policy.points import check_points
from tidegate.policy.policy import Policy
from tidegate.policy.schema import PolicyDocument
from tidegate.simulation.foresight import foresee, unseen

app = typer.Typer(help="Check, show, explain, simulate, sign and push policies.", no_args_is_help=True)
app.command("explain")(policy_explain.explain_command)
app.command("drift")(policy_drift.drift_command)
app.command("push")(policy_push.push_command)
app.command("sign")(policy_sign.sign_command)
app.command("trusted")(policy_trusted.trusted_command)
app.command("simulate")(policy_simulate.simulate_command)


@app.command()
def check(
    file: PolicyFile, board: BoardOption = None, ladder: LadderOption = None, as_json: JsonOption = False
) -> None:
    """Say whether a policy is valid, and if not, where, what was found and what is allowed.

    With --ladder the points that it names are looked up too, and it warns of rules that flap, never end
    or never hold; with --board also of those on power and temperature.
    """
    try:
        document, layered = read_policy(file, board)
        policy = layered.policy
        points = None if ladder is None else open_ladder(ladder)
        if points is not None:
            check_points(document, policy, points)
    except DocumentError as error:
        if as_json:
            write_json({"file": str(file), "valid": False, "problems": _places(error.problems), "warnings": []})
            raise typer.Exit(error.exit_code) from error
        raise
    device = None if board is None else find_profile(board).device
    warnings = () if points is None else foresee(document, policy, points, device)
    if as_json:
        named = {"name": policy.name, "version": policy.version, "rules": len(policy.rules)}
        write_json({"file": str(file), "valid": True, **named, "problems": [], "warnings": _places(warnings)})
        return
    if points is not None:
        _warn(document, policy, warnings, device)
    warned = len(warnings)
    said = f"{file}: valid: {policy.name} version {policy.version}, {len(policy.rules)} rules"
    said += f", {warned} warning{'s' * (warned > 1)}" if warned else ""
    out.say(said)


def _places(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Problems for programs: a place is line and column from 1, 0 for the document as a whole."""
    return [
        {"line": each.mark.line, "column": each.mark.column, **asdict(each, dict_factory=_without_mark)}
        for each in problems
    ]


def _without_mark(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {key: value for key, value in pairs if key != "mark"}


def _warn(document: Document, policy: Policy, warnings: Sequence[Problem], device: Device | None) -> None:
    """Say what is foreseen of the policy's rules, and what could not be."""
    if warnings:
        err.say(str(DocumentError(document.name, document.text, warnings)))
    if blind := unseen(policy, device):
        said = f"{document.name}: not checked: {' and '.join(blind)}; name the board with --board"
        err.say(said)


@app.command()
def show(
    file: PolicyFile,
    board: BoardOption = None,
    below: Annotated[Path | None, typer.Option(help="A policy below it, as the local one is.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print every value of a policy with those it takes from the board's profile and from a policy below it."""
    _, layered = read_policy(file, board, below)
    if as_json:
        values = [
            {"path": each.path, "value": each.value, "file": each.file, "line": each.mark.line}
            for each in layered.origins
        ]
        write_json({"file": str(file), "values": values})
        return
    width = max(len(f"{each.path}: {each.value}") for each in layered.origins)
    for each in layered.origins:
        said = f"{each.path}: {each.value}"
        place = f"  # {each.file}:{each.mark.line}:{each.mark.column}" if origin else ""
        out.say(f"{said:<{width}}{place}".rstrip())


@app.command()
def schema() -> None:
    """Print the JSON Schema of policies, for editors; profiles/policy.schema.json is this."""
    sys.stdout.write(json.dumps(PolicyDocument.model_json_schema(by_alias=True), indent=1) + "\n")
