"""`tidegate policy`: check a policy on the desk, push one to a device."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.cli.broker_option import parse_broker
from agent.cli.console import EX_CONFIG, EX_DATAERR, EX_TEMPFAIL, EX_UNAVAILABLE, EX_USAGE, fail, out
from agent.documents import DocumentError
from agent.documents import read as read_document
from agent.fleet.push import PushError
from agent.fleet.push import push as push_policy
from agent.policy.schema import load_policy
from agent.telemetry.envelope import EnvelopeError, Target
from agent.telemetry.topics import TopicError

app = typer.Typer(help="Check and push policies.", no_args_is_help=True)

PolicyFile = Annotated[Path, typer.Argument(help="The policy, YAML.")]


@app.command()
def check(file: PolicyFile) -> None:
    """Say whether a policy is valid, and if not, where, what was found and what is allowed."""
    try:
        policy = load_policy(read_document(file), str(file))
    except DocumentError as error:
        fail(str(error), EX_CONFIG)
    out.print(f"{file}: valid: {policy.name} version {policy.version}, {len(policy.rules)} rules", markup=False)


@app.command()
def push(
    file: PolicyFile,
    device: Annotated[str | None, typer.Option(help="The device's id.")] = None,
    group: Annotated[str | None, typer.Option(help="All devices of a group.")] = None,
    fleet: Annotated[bool, typer.Option("--fleet", help="All devices.")] = False,
    broker: Annotated[str, typer.Option(help="HOST or HOST:PORT of the MQTT broker.")] = "127.0.0.1",
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate authority (PEM); turns TLS on.")] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the device's verdict.")
    ] = 30.0,
) -> None:
    """Push a policy to a device, a group or the fleet, and say what the device made of it."""
    if sum((device is not None, group is not None, fleet)) != 1:
        raise typer.BadParameter("name exactly one of --device ID, --group NAME and --fleet")
    try:
        text = read_document(file)
        policy = load_policy(text, str(file))
    except DocumentError as error:
        fail(str(error), EX_CONFIG)
    password = None if password_file is None else read_document(password_file).strip()
    address = replace(parse_broker(broker), username=username, password=password, tls_ca=ca)
    kind: Literal["device", "group", "fleet"] = "device" if device else "group" if group else "fleet"
    try:
        target = Target(kind, device or group)
        result = push_policy(address, target, text, policy.version, wait_s)
    except (TopicError, EnvelopeError) as error:
        fail(str(error), EX_USAGE)
    except PushError as error:
        fail(str(error), EX_UNAVAILABLE)
    said = (
        f"{policy.name} version {policy.version} {result.outcome.replace('_', ' ')} after {result.waited_s:.1f} s"
    )
    said += f": {result.reason}" if result.reason else ""
    if result.outcome == "no_answer":
        fail(said, EX_TEMPFAIL)
    if result.outcome not in ("accepted", "published"):
        fail(said, EX_DATAERR)
    out.print(said, markup=False)
