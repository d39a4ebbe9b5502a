"""The signed certificate that agent.yaml names: counted on inputs of this place, it replaces the bundle's own."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tidegate.config import AgentConfig, trusted_keys
from tidegate.engines.runtime.placement import placements_in_words
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.files import read_file
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.statement import MAX_BYTES, PAYLOAD_TYPE, Statement, StatementError, read_statement
from tidegate.models.ladder import Certificate
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.updates.key_rotation import rotation_in_force
from tidegate.telemetry.payloads.reported import CertifiedPoint, ReportedCertificate
from tidegate.trust.dsse import DsseError, Envelope, parse_envelope
from tidegate.trust.trusted_keys import NotSigned, Role, TrustedKeys


class OwnCertificateError(TidegateError):
    """The certificate that agent.yaml names can't be gone by; the message says why and what to do."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A count that trusted keys have signed, for whichever bundle; `digest` is of what they signed."""

    path: Path
    statement: Statement
    digest: str
    signed_by: tuple[str, ...]
    keyids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CertifiedBundle:
    """A bundle as it is used here: with an own certificate where there is one for it, else as its `build` left it.

    `identity` is another one whenever what is promised of its points is. `report` says what became of the
    certificate that agent.yaml names, None where it names none.
    """

    build: Bundle
    bundle: Bundle
    identity: str
    own: OwnCertificate | None = None
    report: ReportedCertificate | None = None

    @property
    def certificates(self) -> Mapping[str, Certificate] | None:
        """By point, of the own certificate; None where the bundle's own ones count."""
        return None if self.own is None else self.own.statement.certificates()

    @property
    def trouble(self) -> str | None:
        """Why the certificate that agent.yaml names does not count; None where it does, or where there is none."""
        return None if self.report is None or self.report.state == "in_force" else self.report.reason


def keys_in_force(config: AgentConfig) -> TrustedKeys:
    """Those of agent.yaml, or those that have replaced them."""
    configured = trusted_keys(config)
    rotation = rotation_in_force(config.state_dir, configured)
    return configured if rotation is None else rotation[1]


def read_own_certificate(path: Path, keys: TrustedKeys) -> OwnCertificate:
    """The count in a file. Raises OwnCertificateError where it can't be read, or no trusted key has signed it."""
    again = "`tidegate bundle certify ... --key KEY --certificate FILE` writes one"
    try:
        envelope = parse_envelope(read_file(path, 2 * MAX_BYTES), 2 * MAX_BYTES)
        signed = keys.judge(envelope, Role.CERTIFICATE)
        if isinstance(signed, NotSigned):
            raise OwnCertificateError(
                f"{path}: {signed.reason}; `tidegate key trust FILE.pub --role certificate` trusts who has counted"
            )
        if envelope.payload_type != PAYLOAD_TYPE:
            raise OwnCertificateError(f"{path}: is signed, and is no certificate; {again}")
        statement = read_statement(envelope.payload, str(path))
    except OSError as error:
        raise OwnCertificateError(f"{path}: {error.strerror}; {again}") from error
    except (DsseError, StatementError) as error:
        raise OwnCertificateError(f"{path}: {error}; {again}") from error
    keyids = tuple(each.key.keyid for each in keys.keys if each.name in signed.by)
    return OwnCertificate(path, statement, _digest(envelope), signed.by, keyids)


def certified(bundle: Bundle, config: AgentConfig) -> CertifiedBundle:
    """A bundle as its build left it, with the certificate that agent.yaml names. Reads files; never fails.

    One that can't be gone by is reported, and the bundle's own certificates count.
    """
    if config.certificate is None:
        return CertifiedBundle(bundle, bundle, bundle.sha256)
    try:
        own = read_own_certificate(config.certificate, keys_in_force(config))
        own.statement.check(bundle)
    except (OwnCertificateError, StatementError) as error:
        reason = f"{error}; until then the bundle's own certificates count"
        return CertifiedBundle(bundle, bundle, bundle.sha256, report=ReportedCertificate("refused", reason))
    with_own = replace(bundle, ladder=own.statement.ladder(bundle.ladder))
    return CertifiedBundle(bundle, with_own, f"{bundle.sha256}+{own.digest[:16]}", own, _report(own))


def certificate_in_words(held: CertifiedBundle) -> str:
    """Which certificates count: `on footage of ..., signed by yard`, or the bundle's own."""
    if held.own is None:
        return "of the bundle itself"
    told = held.own.statement
    counted = f"{told.inputs} inputs, {told.labelled} labelled, {told.counted_at:%Y-%m-%d}"
    return f"on {told.data} ({counted}), signed by {', '.join(held.own.signed_by)}"


def certificate_told(held: CertifiedBundle) -> Event:
    """That an own certificate counts."""
    details: dict[str, object] = {} if held.report is None else {"certificate": asdict(held.report)}
    return Event(EventKind.CERTIFICATE, f"in force: {certificate_in_words(held)}", details)


def _digest(envelope: Envelope) -> str:
    return hashlib.sha256(envelope.payload).hexdigest()


def _report(own: OwnCertificate) -> ReportedCertificate:
    told = own.statement
    return ReportedCertificate(
        state="in_force",
        signed_by=own.signed_by,
        keyids=own.keyids,
        data=told.data,
        inputs=told.inputs,
        clip=told.clip,
        labelled=told.labelled,
        delta=told.delta,
        counted_at=told.counted_at.isoformat(timespec="seconds"),
        placement=told.placement,
        here=placements_in_words(told.engines),
        points=tuple(CertifiedPoint(each.name, each.alpha, each.n, each.failures) for each in told.points),
    )
