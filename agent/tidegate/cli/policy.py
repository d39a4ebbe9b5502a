"""`tidegate policy`: check, show, explain and simulate a policy on the desk, push one to a device."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.boards import find_profile
from tidegate.boards.device import Device
from tidegate.cli import policy_drift, policy_explain, policy_simulate, policy_trusted
from tidegate.cli.broker_option import parse_broker
from tidegate.cli.console import err, fail, out
from tidegate.cli.policy_options import (
    BoardOption,
    LadderOption,
    PolicyFile,
    open_ladder,
    read_policy,
)
from tidegate.documents import Document, DocumentError
from tidegate.documents import read as read_document
from tidegate.errors import EX_DATAERR, EX_TEMPFAIL, EX_USAGE
from tidegate.fleet.push import GroupPushResult, PushResult, push_to_many
from tidegate.fleet.push import push as push_policy
from tidegate.models.ladder import Ladder
from tidegate.policy.points import check_points
from tidegate.policy.policy import Policy
from tidegate.policy.schema import PolicyDocument
from tidegate.simulation.foresight import foresee, unseen
from tidegate.telemetry.payloads.envelope import Target

NAMED = 20
"""Devices that are named, with their reasons, of those that did not take a policy."""

app = typer.Typer(help="Check, show, explain, simulate and push policies.", no_args_is_help=True)
app.command("explain")(policy_explain.explain_command)
app.command("drift")(policy_drift.drift_command)
app.command("trusted")(policy_trusted.trusted_command)
app.command("simulate")(policy_simulate.simulate_command)


@app.command()
def check(file: PolicyFile, board: BoardOption = None, ladder: LadderOption = None) -> None:
    """Say whether a policy is valid, and if not, where, what was found and what is allowed.

    With --ladder the points that it names are looked up too, and it warns of rules that flap, never end
    or never hold; with --board also of those on power and temperature.
    """
    document, layered = read_policy(file, board)
    policy = layered.policy
    warned = 0
    if ladder is not None:
        points = open_ladder(ladder)
        check_points(document, policy, points)
        warned = _warn(document, policy, points, None if board is None else find_profile(board).device)
    said = f"{file}: valid: {policy.name} version {policy.version}, {len(policy.rules)} rules"
    said += f", {warned} warning{'s' * (warned > 1)}" if warned else ""
    out.print(said, markup=False, soft_wrap=True)


def _warn(document: Document, policy: Policy, ladder: Ladder, device: Device | None) -> int:
    """Say what is foreseen of the policy's rules; how much that is."""
    warnings = foresee(document, policy, ladder, device)
    if warnings:
        err.print(str(DocumentError(document.name, document.text, warnings)), markup=False, soft_wrap=True)
    if blind := unseen(policy, device):
        said = f"{document.name}: not checked: {' and '.join(blind)}; name the board with --board"
        err.print(said, markup=False, soft_wrap=True)
    return len(warnings)


@app.command()
def show(
    file: PolicyFile,
    board: BoardOption = None,
    below: Annotated[Path | None, typer.Option(help="A policy below it, as the local one is.")] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Where each value comes from.")] = False,
) -> None:
    """Print every value of a policy with those it takes from the board's profile and from a policy below it."""
    _, layered = read_policy(file, board, below)
    width = max(len(f"{each.path}: {each.value}") for each in layered.origins)
    for each in layered.origins:
        said = f"{each.path}: {each.value}"
        place = f"  # {each.file}:{each.mark.line}:{each.mark.column}" if origin else ""
        out.print(f"{said:<{width}}{place}".rstrip(), markup=False, soft_wrap=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of policies, for editors; profiles/policy.schema.json is this."""
    sys.stdout.write(json.dumps(PolicyDocument.model_json_schema(by_alias=True), indent=1) + "\n")


@app.command()
def push(
    file: PolicyFile,
    board: BoardOption = None,
    device: Annotated[str | None, typer.Option(help="The device's id.")] = None,
    group: Annotated[str | None, typer.Option(help="All devices of a group.")] = None,
    fleet: Annotated[bool, typer.Option("--fleet", help="All devices.")] = False,
    broker: Annotated[str, typer.Option(help="HOST or HOST:PORT of the MQTT broker.")] = "127.0.0.1",
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate authority (PEM); turns TLS on.")] = None,
    wait_s: Annotated[
        float, typer.Option("--timeout", "--wait", min=0, max=86400, help="Seconds to wait for verdicts.")
    ] = 30.0,
) -> None:
    """Push a policy to a device, a group or the fleet, and say what the devices made of it.

    Ends with 0 when all took it, 65 when any refused, 75 when any said nothing in time.
    """
    if sum((device is not None, group is not None, fleet)) != 1:
        raise typer.BadParameter("name exactly one of --device ID, --group NAME and --fleet")
    document, layered = read_policy(file, board)
    text, policy = document.text, layered.policy
    what = f"{policy.name} version {policy.version}"
    # Not by truth: an empty name is a mistake, never the whole fleet.
    kind: Literal["device", "group", "fleet"] = (
        "device" if device is not None else "group" if group is not None else "fleet"
    )
    address = replace(parse_broker(broker), username=username, password=_password(password_file), tls_ca=ca)
    target = Target(kind, device if device is not None else group)
    if kind == "device":
        said, code = _verdict(what, push_policy(address, target, text, policy.version, wait_s))
    else:
        said, code = _group_verdict(what, kind, push_to_many(address, target, text, policy.version, wait_s))
    if code:
        fail(said, code)
    out.print(said, markup=False, soft_wrap=True)


def _password(file: Path | None) -> str | None:
    try:
        return None if file is None else read_document(file).strip()
    except DocumentError as error:  # not of a configuration, as others are: of this command line
        fail(str(error), EX_USAGE)


def _verdict(what: str, result: PushResult) -> tuple[str, int]:
    """What one device made of it, and the exit code."""
    said = f"{what} {result.outcome.replace('_', ' ')} after {result.waited_s:.1f} s"
    said += f": {result.reason}" if result.reason else ""
    return said, {"accepted": 0, "no_answer": EX_TEMPFAIL}.get(result.outcome, EX_DATAERR)


def _group_verdict(what: str, kind: str, pushed: GroupPushResult) -> tuple[str, int]:
    """What many made of it, and the exit code."""
    asked = len(pushed.accepted) + len(pushed.refused) + len(pushed.silent)
    if not asked:
        said = f"{what}: retained; no device of this {kind} has been seen here; it waits for those to come"
        return said, EX_TEMPFAIL
    parts = [f"{what}: {len(pushed.accepted)} of {asked} took it after {pushed.waited_s:.1f} s"]
    if pushed.refused:
        parts.append(f"{len(pushed.refused)} refused: " + "; ".join(_reasons_by_device(pushed.refused)))
    if pushed.silent:
        parts.append(f"{len(pushed.silent)} silent: " + "; ".join(_reasons_by_device(pushed.silent)))
    return "\n".join(parts), EX_DATAERR if pushed.refused else EX_TEMPFAIL if pushed.silent else 0


def _reasons_by_device(reasons: Mapping[str, str]) -> Iterator[str]:
    """Each device with its reason in one line; of very many the first."""
    for name, reason in list(reasons.items())[:NAMED]:
        yield f"{name}: {' '.join(reason.split())}"
    if len(reasons) > NAMED:
        yield f"and {len(reasons) - NAMED} more"
