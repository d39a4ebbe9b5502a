"""The signed certificate that agent.yaml names or that was pushed: counted here, it replaces the bundle's own."""

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
from tidegate.trust.dsse import DsseError, parse_envelope
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Role, TrustedKeys

MAX_SIGNED_BYTES = 2 * MAX_BYTES
_AGAIN = "`tidegate bundle certify ... --key KEY --certificate FILE` writes one"
PUSHED = "pushed_certificate.json"
"""In the state directory: the last that came over MQTT and was taken."""


class OwnCertificateError(TidegateError):
    """A certificate of this place can't be gone by; the message says why and what to do."""

    exit_code = EX_DATAERR

    def __init__(self, message: str, refusal: Refusal = Refusal.MALFORMED) -> None:
        super().__init__(message)
        self.refusal = refusal


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
    certificate that agent.yaml names or that was pushed, None without one.
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
        """Why the certificate of this place does not count; None where it does, or where there is none."""
        return None if self.report is None or self.report.state == "in_force" else self.report.reason


def keys_in_force(config: AgentConfig) -> TrustedKeys:
    """Those of agent.yaml, or those that have replaced them."""
    configured = trusted_keys(config)
    rotation = rotation_in_force(config.state_dir, configured)
    return configured if rotation is None else rotation[1]


def read_own_certificate(path: Path, keys: TrustedKeys) -> OwnCertificate:
    """The count in a file. Raises OwnCertificateError where it can't be read, or no trusted key has signed it."""
    try:
        data = read_file(path, MAX_SIGNED_BYTES)
    except OSError as error:
        raise OwnCertificateError(f"{path}: {error.strerror}; {_AGAIN}") from error
    return own_certificate_in(data, path, keys)


def own_certificate_in(data: bytes, path: Path, keys: TrustedKeys) -> OwnCertificate:
    """The count in these bytes, from a file or topic of that name. Raises OwnCertificateError."""
    try:
        envelope = parse_envelope(data, MAX_SIGNED_BYTES)
        signed = keys.judge(envelope, Role.CERTIFICATE)
        if isinstance(signed, NotSigned):
            trust = "`tidegate key trust FILE.pub --role certificate` trusts who has counted"
            raise OwnCertificateError(f"{path}: {signed.reason}; {trust}", signed.refusal)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise OwnCertificateError(f"{path}: is signed, and is no certificate; {_AGAIN}")
        statement = read_statement(envelope.payload, str(path))
    except (DsseError, StatementError) as error:
        raise OwnCertificateError(f"{path}: {error}; {_AGAIN}") from error
    keyids = tuple(each.key.keyid for each in keys.keys if each.name in signed.by)
    return OwnCertificate(path, statement, hashlib.sha256(envelope.payload).hexdigest(), signed.by, keyids)


def pushed_certificate(config: AgentConfig) -> OwnCertificate | None:
    """The last that came over MQTT; None without one. Raises OwnCertificateError where it counts no more."""
    path = config.state_dir / PUSHED
    try:
        data = read_file(path, MAX_SIGNED_BYTES)
    except OSError:
        # Not there; or somebody else asks, who may not look into the state directory.
        return None
    return own_certificate_in(data, path, keys_in_force(config))


def certified(bundle: Bundle, config: AgentConfig) -> CertifiedBundle:
    """A bundle as its build left it, with the certificate that agent.yaml names or that was pushed.

    Of both the one that was counted later. Where none can be gone by that is reported, and the bundle's own
    certificates count. Reads files; never fails.
    """
    found: list[OwnCertificate] = []
    errors: list[TidegateError] = []
    for read in (_named_certificate, pushed_certificate):
        try:
            if (each := read(config)) is not None:
                each.statement.check(bundle)
                each.statement.check_device(config.device)
                found.append(each)
        except (OwnCertificateError, StatementError) as error:
            errors.append(error)
    if not found:
        if not errors:
            return CertifiedBundle(bundle, bundle, bundle.sha256)
        reason = f"{errors[0]}; until then the bundle's own certificates count"
        return CertifiedBundle(bundle, bundle, bundle.sha256, report=ReportedCertificate("refused", reason))
    own = max(found, key=lambda each: each.statement.counted_at)
    with_own = replace(bundle, ladder=own.statement.ladder(bundle.ladder))
    return CertifiedBundle(bundle, with_own, f"{bundle.sha256}+{own.digest[:16]}", own, _report(own))


def _named_certificate(config: AgentConfig) -> OwnCertificate | None:
    """That of agent.yaml. Raises OwnCertificateError."""
    return None if config.certificate is None else read_own_certificate(config.certificate, keys_in_force(config))


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
