"""What is pushed: an envelope made of a policy, its target and keys, or one that was signed before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidegate.cli.policy_options import read_policy
from tidegate.cli.signers import signers
from tidegate.documents import read
from tidegate.errors import EX_USAGE, TidegateError
from tidegate.policy.push_condition import read_condition
from tidegate.telemetry.payloads.envelope import Target, open_envelope, policy_in, seal
from tidegate.trust.dsse import Envelope

PolicyOrEnvelope = Annotated[Path, typer.Argument(help="The policy, YAML, or what `policy sign` made of one.")]
DeviceOption = Annotated[str | None, typer.Option("--device", help="The device's id.")]
GroupOption = Annotated[str | None, typer.Option("--group", help="All devices of a group.")]
FleetOption = Annotated[bool, typer.Option("--fleet", help="All devices.")]
ExpiresOption = Annotated[
    str | None,
    typer.Option(help="When devices take it no longer: 2027-01-31T12:00Z, with the zone."),
]

WhenOption = Annotated[
    str | None,
    typer.Option(help="Try it while a condition of the policy language holds: '{power_source: external}'."),
]


class EnvelopeOptionError(TidegateError):
    """Options that don't go together, or a time that is none."""

    exit_code = EX_USAGE


@dataclass(frozen=True, slots=True)
class Pushed:
    """An envelope to push: `what` says in words which policy it holds."""

    envelope: Envelope
    target: Target
    what: str


def read_pushed(
    file: Path,
    board: str | None,
    target: Target | None,
    keys: Sequence[str],
    expires: str | None,
    when: str | None = None,
) -> Pushed:
    """The envelope in a file, or one around the policy there; signed with the keys in `keys` as well.

    Raises TidegateError.
    """
    private = signers(keys)
    text = read(file)
    if text.lstrip().startswith("{"):
        signed = open_envelope(text.encode())
        push = policy_in(signed)
        if target not in (None, push.target) or expires is not None or when is not None:
            raise EnvelopeOptionError(
                f"{file}: target, expiry and --when are signed with the policy and can't be changed: "
                f"{push.target.topic}, expires {push.expires or 'never'}; leave them away, or sign it anew"
            )
        signed, to, version, name = signed.signed_by(private), push.target, push.version, file.name
    else:
        if target is None:
            raise EnvelopeOptionError("name exactly one of --device ID, --group NAME and --fleet")
        if when is not None:
            read_condition(when, "--when")
        document, layered = read_policy(file, board)
        name, version, to = layered.policy.name, layered.policy.version, target
        signed = seal(document.text, version, to, expiry(expires), private, when or "")
    return Pushed(signed, to, f"{name} version {version}")


def target_of(device: str | None, group: str | None, *, fleet: bool) -> Target | None:
    """Whom the options name; None where they name nobody. Raises TidegateError."""
    if sum((device is not None, group is not None, fleet)) > 1:
        raise EnvelopeOptionError("name exactly one of --device ID, --group NAME and --fleet")
    if not fleet and device is None and group is None:
        return None
    # Not by truth: an empty name is a mistake, never the whole fleet.
    kind: Literal["device", "group", "fleet"] = (
        "device" if device is not None else "group" if group is not None else "fleet"
    )
    return Target(kind, device if device is not None else group)


def expiry(written: str | None) -> datetime | None:
    """The time that --expires names; None without one. Raises EnvelopeOptionError."""
    if written is None:
        return None
    try:
        time = datetime.fromisoformat(written)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise EnvelopeOptionError(
            f"--expires: found {written!r}, allowed is a time with its zone, such as 2027-01-31T12:00Z"
        )
    return time
