"""`tidegate bundle certificate`, and what `bundle certify --key` writes: a count that a key vouches for."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.cli.bundle_path import BundlePath
from tidegate.cli.console import fail, out, show_table
from tidegate.cli.envelope_output import write_envelope
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.view import format_risk
from tidegate.engines.runtime.placement import engines_in, placements_in_words
from tidegate.errors import EX_DATAERR
from tidegate.files import read_file
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.statement import MAX_BYTES, PAYLOAD_TYPE, Statement, read_statement, statement_of
from tidegate.terminal.table import Table
from tidegate.trust.dsse import DsseError, Envelope, parse_envelope
from tidegate.trust.key_file import read_public

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidegate.models.ladder import Certificate
    from tidegate.trust.signer import Signer


def certificate_path(bundle: Path) -> Path:
    """Beside the bundle: what is in a bundle is fixed."""
    whole = bundle if bundle.name not in {"", ".."} else bundle.resolve()
    return whole.with_name(f"{whole.name}.certificate.json")


def write_certificate(
    path: Path,
    keys: "Sequence[Signer]",
    bundle: Bundle,
    certificates: "Mapping[str, Certificate]",
    engine: str,
    *,
    data: str,
    data_sha256: str,
    inputs: int,
    clip: int,
    labelled: int,
    delta: float,
    device: str | None = None,
) -> None:
    """Sign what was counted for the bundle, on an engine as it calls itself.

    Raises what signing and writing raise.
    """
    engines = engines_in(engine)
    statement = statement_of(
        bundle,
        certificates,
        data=data,
        data_sha256=data_sha256,
        inputs=inputs,
        clip=clip,
        labelled=labelled,
        delta=delta,
        engines=engines,
        placement=placements_in_words(engines),
        counted_at=datetime.now(UTC),
        device=device,
    )
    envelope = Envelope(PAYLOAD_TYPE, statement.to_payload()).signed_by(keys)
    write_envelope(envelope, path, "certificate")


def certificate_command(
    bundle: BundlePath,
    trusted: Annotated[
        list[Path], typer.Option("--trusted", help="The public key of who counted; may be given again.")
    ],
    certificate: Annotated[
        Path | None, typer.Option(help="The signed count; by default BUNDLE.certificate.json beside it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show whose word a bundle's certificates are, on what they were counted and where; 65 if nobody's."""
    opened = open_bundle(bundle)
    path = certificate or certificate_path(bundle)
    try:
        envelope = parse_envelope(read_file(path), MAX_BYTES)
    except OSError as error:
        fail(f"{path}: {error.strerror}; `tidegate bundle certify ... --out --key` writes one", EX_DATAERR)
    except DsseError as error:
        fail(f"{path}: {error}; take it from who counted, or count again", EX_DATAERR)
    signed = [key for key in trusted if _vouches(key, envelope)]
    if envelope.payload_type != PAYLOAD_TYPE or not signed:
        names = ", ".join(map(str, trusted))
        fail(f"{path}: is not signed by {names}; take it from who counted, or count again", EX_DATAERR)
    statement = read_statement(envelope.payload, str(path))
    statement.check(opened)
    here = placements_in_words(statement.engines)
    if as_json:
        write_json(
            {
                **statement.model_dump(mode="json"),
                "signed_by": [str(each) for each in signed],
                "placement_here": here,
                "count_again": statement.placement != here,
            }
        )
        return
    _show(statement, ", ".join(map(str, signed)))
    if statement.placement != here:
        out.say(f"counted on {statement.placement}; here is {here}: count again for this device")


def _vouches(key: Path, envelope: Envelope) -> bool:
    public = read_public(key)
    return any(public.verifies(envelope.signed_bytes, signature.sig) for signature in envelope.signatures)


def _show(statement: Statement, signers_named: str) -> None:
    tries = f"{statement.inputs} inputs" + (f" in clips of {statement.clip}" if statement.clip > 1 else "")
    whose = "" if statement.device is None else f" of the device {statement.device}"
    out.say(
        f"signed by {signers_named}: {statement.model}{whose} on {statement.data}, {tries}, {statement.labelled} "
        f"labelled, delta {statement.delta:g}, {statement.counted_at:%Y-%m-%d %H:%M} UTC"
    )
    rows = [(each.name, format_risk(each.alpha), f"{each.failures} of {each.n}") for each in statement.points]
    show_table(Table("certified", ("operating point", "at most", "failures"), rows))
