"""Pushed policies on disk: the trusted version, the accepted text and the one on trial; safe against any stop."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from agent.durable_file import replace_file


class StoreError(Exception):
    """The store's file can't be read or written; the message names it and says what to do."""


class WrongStateError(Exception):
    """An operation that the present state does not allow: a mistake of the caller, nothing was changed."""


class Verdict(StrEnum):
    """What became of an offer."""

    NEW = "new"
    ALREADY_THERE = "already_there"
    REFUSED = "refused"


class Outcome(StrEnum):
    """How far the newest trusted version got. OFFERED: trusted, not yet on trial; an equal offer resumes it."""

    OFFERED = "offered"
    TRIAL = "trial"
    ACCEPTED = "accepted"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy's text as it was signed, with the version and hash that were trusted."""

    text: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class Offer:
    """The answer to an offer, with its reason in words."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A policy that was taken back, and why."""

    version: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Trusted:
    version: int
    digest: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _State:
    format: Literal[1] = 1
    trusted: _Trusted | None = None
    accepted: StoredPolicy | None = None
    trial: StoredPolicy | None = None


_state = TypeAdapter(_State)


def digest_of(text: str) -> str:
    """The hash that names a policy's text: SHA-256, hexadecimal."""
    return sha256(text.encode()).hexdigest()


class PolicyStore:
    """The pushed policies of one device, in one directory; one process at a time.

    offer -> begin_trial -> accept or roll_back. Every step is one atomic replacement of one file, so that a
    stop at any moment leaves the state before the step or after it. Raises StoreError when the disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        self._file = directory / "policies.json"
        self._state = self._read()
        self._recovered: RolledBack | None = None
        if self._state.trial is not None:
            # Whatever stopped us in mid-trial may be the policy's doing: it gets no second chance by itself.
            self._recovered = self.roll_back("the service stopped during its trial")

    @property
    def accepted(self) -> StoredPolicy | None:
        """The policy to run, None before the first was accepted."""
        return self._state.accepted

    @property
    def trial(self) -> StoredPolicy | None:
        """The policy on trial now."""
        return self._state.trial

    @property
    def trusted_version(self) -> int:
        """The highest version ever offered with a valid signature, whatever became of it; 0 before the first."""
        return 0 if self._state.trusted is None else self._state.trusted.version

    @property
    def recovered(self) -> RolledBack | None:
        """The trial that was found unfinished when the store was opened and rolled back, to be reported."""
        return self._recovered

    def offer(self, text: str, version: int, digest: str) -> Offer:
        """Trust a verified policy's version, before anything else is done with it.

        NEW: validate it, then `begin_trial` or `roll_back`. ALREADY_THERE: nothing to do, the reason says what
        became of it. REFUSED: a replay or downgrade.
        """
        if self._state.trial is not None:
            raise WrongStateError(f"version {self._state.trial.version} is on trial; end it first")
        if digest != digest_of(text):
            return Offer(Verdict.REFUSED, f"version {version}: the text does not have the hash {digest}")
        trusted = self._state.trusted
        if trusted is not None:
            if version < trusted.version:
                return Offer(
                    Verdict.REFUSED, f"version {version} is older than the trusted version {trusted.version}"
                )
            if version == trusted.version and digest != trusted.digest:
                return Offer(Verdict.REFUSED, f"version {version} is already trusted with another text")
            if version == trusted.version and trusted.outcome is not Outcome.OFFERED:
                became = trusted.outcome.replace("_", " ") + (f": {trusted.reason}" if trusted.reason else "")
                return Offer(Verdict.ALREADY_THERE, f"version {version} is already there, {became}")
            if version == trusted.version:
                return Offer(Verdict.NEW, f"version {version} was offered before and not tried yet")
        self._write(_State(trusted=_Trusted(version, digest, Outcome.OFFERED), accepted=self._state.accepted))
        return Offer(Verdict.NEW, f"version {version} is new")

    def begin_trial(self, text: str) -> None:
        """Record that the offered policy is being tried from now on."""
        offered = self._offered()
        if digest_of(text) != offered.digest:
            raise WrongStateError(f"this is not the text that was offered as version {offered.version}")
        trial = StoredPolicy(text, offered.version, offered.digest)
        trusted = _Trusted(offered.version, offered.digest, Outcome.TRIAL)
        self._write(_State(trusted=trusted, accepted=self._state.accepted, trial=trial))

    def accept(self) -> StoredPolicy:
        """Make the policy on trial the accepted one."""
        trial = self._state.trial
        if trial is None:
            raise WrongStateError("no policy is on trial")
        self._write(_State(trusted=_Trusted(trial.version, trial.digest, Outcome.ACCEPTED), accepted=trial))
        return trial

    def roll_back(self, reason: str) -> RolledBack:
        """Give up the policy that is offered or on trial; the accepted one stays."""
        trial = self._state.trial
        given_up = trial if trial is not None else self._offered()
        trusted = _Trusted(given_up.version, given_up.digest, Outcome.ROLLED_BACK, reason)
        self._write(_State(trusted=trusted, accepted=self._state.accepted))
        return RolledBack(given_up.version, given_up.digest, reason)

    def _offered(self) -> _Trusted:
        trusted = self._state.trusted
        if trusted is None or trusted.outcome is not Outcome.OFFERED:
            raise WrongStateError("no policy is offered")
        return trusted

    def _read(self) -> _State:
        try:
            return _state.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _State()
        except OSError as error:
            raise StoreError(f"{self._file}: {error.strerror}; check the owner of the state directory") from error
        except ValidationError as error:
            # Starting afresh would forget the trusted version and let an old policy in again.
            hint = "restore it, or remove it to give up the accepted policy and trust from version 1 again"
            raise StoreError(f"{self._file}: damaged; {hint}") from error

    def _write(self, state: _State) -> None:
        try:
            replace_file(self._file, json.dumps(asdict(state)))
        except OSError as error:
            raise StoreError(f"{self._file}: can't be written: {error.strerror}") from error
        self._state = state
