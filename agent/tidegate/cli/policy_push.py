"""`tidegate policy push`: push a policy, and say what its devices make of it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.broker_option import parse_broker
from tidegate.cli.console import fail, out
from tidegate.cli.policy_envelope import (
    DeviceOption,
    ExpiresOption,
    FleetOption,
    GroupOption,
    KeyOption,
    PolicyOrEnvelope,
    read_pushed,
    target_of,
)
from tidegate.cli.policy_options import BoardOption
from tidegate.documents import DocumentError
from tidegate.documents import read as read_document
from tidegate.errors import EX_DATAERR, EX_TEMPFAIL, EX_USAGE
from tidegate.fleet.push import GroupPushResult, PushResult, push, push_to_many

NAMED = 20
"""Devices that are named, with their reasons, of those that did not take a policy."""


def push_command(
    file: PolicyOrEnvelope,
    board: BoardOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    key: KeyOption = None,
    expires: ExpiresOption = None,
    broker: Annotated[str, typer.Option(help="HOST or HOST:PORT of the MQTT broker.")] = "127.0.0.1",
    username: Annotated[str | None, typer.Option(help="User name at the broker.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password.")] = None,
    ca: Annotated[Path | None, typer.Option(help="Certificate authority (PEM); turns TLS on.")] = None,
    wait_s: Annotated[
        float, typer.Option("--timeout", "--wait", min=0, max=86400, help="Seconds to wait for verdicts.")
    ] = 30.0,
) -> None:
    """Push a policy to a device, a group or the fleet, and say what the devices made of it.

    With --key it is signed, as devices want it that do not allow unsigned policies.
    Ends with 0 when all took it, 65 when any refused, 75 when any said nothing in time.
    """
    pushed = read_pushed(file, board, target_of(device, group, fleet=fleet), key or (), expires)
    address = replace(parse_broker(broker), username=username, password=_password(password_file), tls_ca=ca)
    if pushed.target.kind == "device":
        said, code = _verdict(pushed.what, push(address, pushed.envelope, wait_s))
    else:
        many = push_to_many(address, pushed.envelope, wait_s)
        said, code = _group_verdict(pushed.what, pushed.target.kind, many)
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
