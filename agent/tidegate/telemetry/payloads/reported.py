"""What a device reports about itself, retained on its `reported` topic."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.validation_words import in_words

PolicyVerdict = Literal["accepted", "trial", "rolled_back", "refused"]

# A newer agent may report more than this reader knows; an operator's older tool must still read the rest.
_TOLERANT = ConfigDict(extra="ignore")


class ReportedError(TidegateError, ValueError):
    """Bytes that are no report of a device."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A pushed policy or bundle and what became of it. `hash` is the SHA-256 of its text, hexadecimal.

    `push_id` is that of the last push of this version and text that was judged: the one that `state` answers.
    `refusal` is the kind of the reason of one that was refused, a value of tidegate.trust.refusal.Refusal.
    `percent` of a bundle's content are there while it comes in, in steps of ten; None at other times.
    """

    __pydantic_config__ = _TOLERANT

    version: int
    hash: str
    state: PolicyVerdict
    reason: str = ""
    name: str = ""
    push_id: str = ""
    refusal: str = ""
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class PastVerdict:
    """A verdict on a pushed policy, met `count` times, last at `at_s` (Unix time); its reason may be shortened."""

    __pydantic_config__ = _TOLERANT

    version: int
    hash: str
    state: PolicyVerdict
    at_s: int
    reason: str = ""
    refusal: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class ComparedPoint:
    """What shadow runs have shown of a point: on `disagreed` of `seen` answers the full model gave another.

    `allowed` is the share of them that its certificate allows, above 0 and below 1. Raises ValueError.
    """

    __pydantic_config__ = _TOLERANT

    point: str
    seen: int
    disagreed: int
    allowed: float

    def __post_init__(self) -> None:
        if not (0 <= self.disagreed <= self.seen and 0.0 < self.allowed < 1.0):
            raise ValueError(f"{self.point}: {self.disagreed} of {self.seen} compared, {self.allowed} allowed")


@dataclass(frozen=True, slots=True)
class CertifiedPoint:
    """What was counted of a point: `failures` in `n` tries, by which at most a share `alpha` of all fails."""

    __pydantic_config__ = _TOLERANT

    point: str
    alpha: float
    n: int
    failures: int


@dataclass(frozen=True, slots=True)
class Recount:
    """A count on the kept frames with the runtime that is `here` now, at `at` (ISO 8601, empty before it).

    `state` is `waiting` until the device has time and charge, `holds`, `fails` where points were taken off the
    ladder, or `unknown` where the frames say too little; `reason` says it in a sentence.
    """

    __pydantic_config__ = _TOLERANT

    state: Literal["waiting", "holds", "fails", "unknown"]
    here: str
    reason: str
    at: str = ""
    inputs: int | None = None
    taken_off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportedCertificate:
    """The certificate for this device's own place: in force in the place of the bundle's own ones, or why not.

    `data` is what was counted on: `inputs`, `labelled` of them with a label, in clips of `clip`; by whom and when
    (ISO 8601). `placement` are runtime and system that it was counted on, `here` what they are on this device now.
    `recount` is what was found where these differ, None where they don't.
    """

    __pydantic_config__ = _TOLERANT

    state: Literal["in_force", "refused"]
    reason: str = ""
    signed_by: tuple[str, ...] = ()
    keyids: tuple[str, ...] = ()
    data: str = ""
    inputs: int | None = None
    clip: int | None = None
    labelled: int | None = None
    delta: float | None = None
    counted_at: str = ""
    placement: str = ""
    here: str = ""
    points: tuple[CertifiedPoint, ...] = ()
    recount: Recount | None = None


@dataclass(frozen=True, slots=True)
class ReportedKey:
    """A key whose signatures count on this device, and for what: values of tidegate.trust.trusted_keys.Role."""

    __pydantic_config__ = _TOLERANT

    name: str
    keyid: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What a reading's name in telemetry windows stands for: its unit, provenance and source."""

    __pydantic_config__ = _TOLERANT

    name: str
    unit: str
    provenance: str
    source: str


@dataclass(frozen=True, slots=True)
class UnavailableReading:
    """A reading that telemetry windows leave out, and why."""

    __pydantic_config__ = _TOLERANT

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportedModel:
    """A model beside the main one: the SHA-256 of its bundle, where it is on its ladder, and whether it answers.

    `state` is `loading`, `loaded`, `unloaded`, `evicted` or `failed`; `reason` says why it
    doesn't answer. `operating_point` is None where it doesn't, `bundle` where that could not be opened.
    """

    __pydantic_config__ = _TOLERANT

    name: str
    state: str
    bundle: str | None = None
    operating_point: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FailedUpgrade:
    """A version that failed its trial, when (ISO 8601) and why, with the last lines that it logged."""

    __pydantic_config__ = _TOLERANT

    version: str
    at: str
    reason: str
    last_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reported:
    """One device's report. `policy` runs; `refused` was pushed last and does not; None means unknown or none.

    `certified_risk` is the bound of the operating point as a share from 0 to 1, None when nothing is certified.
    `demoted` are the points that shadow runs took off the ladder, `groups` those whose policies the device takes.
    `failed_upgrade` is the last upgrade where it was taken back, `upgrading_from` the version that comes back if
    the one that runs fails its trial; None when none is on trial.
    `allow_unsigned`: whether it takes policies from whoever may publish, None where an older agent does not say.
    `verdicts` are the last ones on pushed policies, newest first; `key_rotation` is the last on pushed keys.
    `held_at` is the point that somebody holds, None while the policy alone decides. `readings` says what the names
    in telemetry windows stand for, `unavailable` why others are not in them. `bundle_push` is the last pushed
    bundle that is or was taken in, and how far it got; `bundle_refused` the last that was not, `bundle_verdicts`
    the last verdicts on bundles. `compared` is what shadow runs have shown under the policy and bundle in force,
    told again whenever it has grown by a quarter. `keeps_footage`: whether frames are kept on the device (they are
    never sent), None where an older agent does not say. `certificate` is that of this place, None where the
    bundle's own ones count, `certificate_push` what became of the last that was pushed: its version is the Unix
    time of its count, its hash the SHA-256 of what is signed. `models` are those beside the main one.
    """

    __pydantic_config__ = _TOLERANT

    agent_version: str
    policy: PolicyState | None = None
    refused: PolicyState | None = None
    bundle: str | None = None
    operating_point: str | None = None
    certified_risk: float | None = None
    demoted: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    failed_upgrade: FailedUpgrade | None = None
    keys: tuple[ReportedKey, ...] = ()
    allow_unsigned: bool | None = None
    verdicts: tuple[PastVerdict, ...] = ()
    key_rotation: PolicyState | None = None
    readings: tuple[ReadingReport, ...] = ()
    unavailable: tuple[UnavailableReading, ...] = ()
    held_at: str | None = None
    bundle_push: PolicyState | None = None
    bundle_refused: PolicyState | None = None
    bundle_verdicts: tuple[PastVerdict, ...] = ()
    compared: tuple[ComparedPoint, ...] = ()
    upgrading_from: str | None = None
    keeps_footage: bool | None = None
    certificate: ReportedCertificate | None = None
    models: tuple[ReportedModel, ...] = ()
    certificate_push: PolicyState | None = None

    def to_document(self) -> dict[str, object]:
        """As a JSON object, for `Link.report`."""
        return asdict(self)


@cache
def _reported() -> TypeAdapter[Reported]:
    # Not at import: a device says it, the operator's side reads it.
    return TypeAdapter(Reported)


def parse_reported(data: bytes) -> Reported:
    """The report in an MQTT payload. Raises ReportedError for any other bytes."""
    try:
        return _reported().validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "whole document"
        msg = f"reported, at {where}: {in_words(first['msg'])}"
        raise ReportedError(msg) from error
