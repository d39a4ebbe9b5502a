"""`tidegate bundle push`, `sign` and `index`: bundles for devices far away."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.broker_option import (
    BrokerOption,
    CaOption,
    PasswordFileOption,
    UsernameOption,
    WaitOption,
    broker_of,
)
from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import out
from tidegate.cli.envelope_output import OutputOption, write_envelope
from tidegate.cli.json_option import JsonOption
from tidegate.cli.policy_envelope import (
    DeviceOption,
    EnvelopeOptionError,
    ExpiresOption,
    FleetOption,
    GroupOption,
    WhenOption,
    expiry,
    target_of,
)
from tidegate.cli.push_verdict import push_and_tell
from tidegate.cli.signers import KeyOption, signers
from tidegate.documents import read
from tidegate.files import replace_file
from tidegate.fleet.bundle_content import BundleContent, content_of, push_of
from tidegate.models.bundle import open_bundle
from tidegate.policy.push_condition import read_condition
from tidegate.telemetry.payloads.bundle_envelope import bundle_in, is_address, seal_bundle
from tidegate.telemetry.payloads.envelope import Target, open_envelope
from tidegate.trust.dsse import Envelope

VersionOption = Annotated[
    int | None, typer.Option("--version", min=1, help="Above that of the last push; by default the Unix time.")
]
SourceOption = Annotated[
    str | None,
    typer.Option("--from", help="A directory on a web server with the files and `content.index`, not MQTT."),
]
EnvelopeFileOption = Annotated[
    Path | None, typer.Option("--envelope", help="What `bundle sign` made of it; any --key signs it as well.")
]


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A bundle ready to be pushed: `what` says in words which."""

    envelope: Envelope
    content: BundleContent
    target: Target
    what: str


def push_command(
    bundle: BundlePath,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    key: KeyOption = None,
    version: VersionOption = None,
    source: SourceOption = None,
    when: WhenOption = None,
    expires: ExpiresOption = None,
    envelope: EnvelopeFileOption = None,
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
    wait_s: WaitOption = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Push a bundle to a device, a group or the fleet, send what they lack of it, and say what they made of it.

    Said again, it goes on where it was. Ends with 0 when all took it, 65 when any refused or rolled it back, 75
    when any said nothing final in time.
    """
    address = broker_of(broker, username, password_file, ca)
    target = target_of(device, group, fleet=fleet)
    if envelope is None:
        sealed = _seal(bundle, target, key or [], version, source, when, expires)
    elif any(option is not None for option in (target, version, source, when, expires)):
        signed = "target, --version, --from, --when and --expires are signed and can't be changed"
        raise EnvelopeOptionError(f"{envelope}: {signed}; leave them away, or sign the bundle anew")
    else:
        sealed = _signed_before(bundle, envelope, key or [])
    push_and_tell(address, sealed.envelope, sealed.target, sealed.what, wait_s, sealed.content, as_json=as_json)


def sign_command(
    bundle: BundlePath,
    key: KeyOption = None,
    device: DeviceOption = None,
    group: GroupOption = None,
    fleet: FleetOption = False,
    version: VersionOption = None,
    source: SourceOption = None,
    when: WhenOption = None,
    expires: ExpiresOption = None,
    output: OutputOption = None,
) -> None:
    """Sign a bundle for its target, without a broker; `bundle push --envelope` takes what comes out."""
    if not key:
        raise EnvelopeOptionError(
            "name the private key to sign with: --key FILE; `tidegate key new NAME` makes one"
        )
    sealed = _seal(bundle, target_of(device, group, fleet=fleet), key, version, source, when, expires)
    write_envelope(sealed.envelope, output, f"{sealed.what} for {sealed.target.bundle_topic}")


def index_command(
    bundle: BundlePath,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("content.index"),
) -> None:
    """Write the index of a bundle's chunks, to lie beside its files on a web server (`bundle push --from`)."""
    open_bundle(bundle)
    content = content_of(bundle)
    replace_file(output, content.index.to_bytes())
    out.say(f"wrote {output}: {len(content.places)} chunks")


def _seal(
    directory: Path,
    target: Target | None,
    keys: list[str],
    version: int | None,
    source: str | None,
    when: str | None,
    expires: str | None,
) -> _Sealed:
    if target is None:
        raise EnvelopeOptionError("name exactly one of --device ID, --group NAME and --fleet")
    if source is not None and not is_address(source):
        raise EnvelopeOptionError(
            f"--from: found {source!r}, allowed is http://HOST/... or https://HOST/..., without user, ? and #"
        )
    if when is not None:
        read_condition(when, "--when")
    private = signers(keys)
    opened = open_bundle(directory)
    content = content_of(directory)
    number = int(time.time()) if version is None else version
    push = push_of(opened, content, number, target, expiry(expires), source or "", when or "")
    sealed = seal_bundle(push, opened.model, private)
    return _Sealed(sealed, content, target, f"{opened.model} version {number}")


def _signed_before(directory: Path, file: Path, keys: list[str]) -> _Sealed:
    envelope = open_envelope(read(file).encode())
    push = bundle_in(envelope)
    opened = open_bundle(directory)
    if opened.sha256 != push.hash:
        raise EnvelopeOptionError(
            f"{file}: is of the bundle {push.hash[:12]}..., {directory} holds {opened.sha256[:12]}...; name the "
            "one that was signed"
        )
    signed = envelope.signed_by(signers(keys))
    return _Sealed(signed, content_of(directory), push.target, f"{opened.model} version {push.version}")
