"""What a device reports about itself, retained on its `reported` topic."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError

PolicyVerdict = Literal["accepted", "trial", "rolled_back", "refused"]

# A newer agent may report more than this reader knows; an operator's older tool must still read the rest.
_TOLERANT = ConfigDict(extra="ignore")


class ReportedError(TidegateError, ValueError):
    """Bytes that are no report of a device."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A pushed policy and what became of it. `hash` is the SHA-256 of its text, hexadecimal.

    `push_id` is that of the last push of this version and text that was judged: the one that `state` answers.
    `refusal` is the kind of the reason of one that was refused, a value of tidegate.trust.refusal.Refusal.
    """

    __pydantic_config__ = _TOLERANT

    version: int
    hash: str
    state: PolicyVerdict
    reason: str = ""
    name: str = ""
    push_id: str = ""
    refusal: str = ""


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
class ReportedKey:
    """A key whose signatures count on this device, and for what: values of tidegate.trust.trusted_keys.Role."""

    __pydantic_config__ = _TOLERANT

    name: str
    keyid: str
    roles: tuple[str, ...]


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
    `failed_upgrade` is the last upgrade where it was taken back.
    `allow_unsigned`: whether it takes policies from whoever may publish, None where an older agent does not say.
    `verdicts` are the last ones on pushed policies, newest first; `key_rotation` is the last on pushed keys.
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
        msg = f"reported, at {where}: {first['msg']}"
        raise ReportedError(msg) from error
