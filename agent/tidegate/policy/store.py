"""Pushed policies on disk: the trusted version, the accepted text and the one on trial; safe against any stop."""

import contextlib
import json
import stat
import threading
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.files import replace_file, set_aside
from tidegate.trust.ratchet import MOST_AHEAD, Offer, Outcome, Trusted, Verdict, judge_version
from tidegate.trust.refusal import Refusal

FILE_NAME = "policies.json"
_LARGEST_BYTES = 8 << 20  # three policies at their largest, each character escaped
_MAX_VERSION = (1 << 53) - 1


class StoreError(TidegateError):
    """The store's file can't be written; the message names it and says why. Nothing was changed."""

    exit_code = EX_UNAVAILABLE


class WrongStateError(Exception):
    """An operation that the present state does not allow: a mistake of the caller, nothing was changed."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy's text as it was signed, with the version and hash that were trusted, and the signers' names."""

    text: str
    version: int
    digest: str
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A policy that was taken back, and why."""

    version: int
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class _State:
    format: Literal[1] = 1
    trusted: Trusted | None = None
    accepted: StoredPolicy | None = None
    trial: StoredPolicy | None = None
    previous: StoredPolicy | None = None


@cache
def _state() -> TypeAdapter[_State]:
    return TypeAdapter(_State)


def digest_of(text: str) -> str:
    """The hash that names a policy's text: SHA-256, hexadecimal."""
    return sha256(text.encode()).hexdigest()


class PolicyStore:
    """The pushed policies of one device, in one directory; one process at a time, any of its threads.

    offer -> begin_trial -> accept or roll_back. Every step is one atomic replacement of one file, so that a
    stop at any moment leaves the state before the step or after it. Steps towards a new policy raise StoreError
    when the disk refuses; steps back happen anyway, and `settle` writes them down later.

    A file that can't be read or that holds nonsense is moved aside, `damage` says so, and the store begins anew.
    """

    def __init__(self, directory: Path) -> None:
        self.damage = ""
        self.unsaved = False
        self._file = directory / FILE_NAME
        self._lock = threading.RLock()
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
    def previous(self) -> StoredPolicy | None:
        """The policy that was accepted before that one."""
        return self._state.previous

    @property
    def trial(self) -> StoredPolicy | None:
        """The policy on trial now."""
        return self._state.trial

    @property
    def trusted_version(self) -> int:
        """The highest version that was valid and therefore tried, whatever became of it; 0 before the first."""
        return 0 if self._state.trusted is None else self._state.trusted.version

    @property
    def recovered(self) -> RolledBack | None:
        """The trial that was found unfinished when the store was opened and rolled back, to be reported."""
        return self._recovered

    def offered(self, version: int, digest: str) -> bool:
        """Whether this policy waits for its trial."""
        return self._state.trusted == Trusted(version, digest, Outcome.OFFERED)

    def judge(self, version: int, digest: str, floor: int = 0) -> Offer:
        """What `offer` would answer; changes nothing. `floor` is a version that is known without any push."""
        trusted = self._state.trusted
        accepted, known = self._state.accepted, max(floor, self.trusted_version)
        by_hand = accepted is not None and (accepted.version, accepted.digest) == (version, digest)
        if by_hand and known < version <= known + MOST_AHEAD:
            # The trusted version was set below it by hand; the broker's copy must not raise it again.
            return Offer(Verdict.ALREADY_THERE, f"version {version} is already there, accepted")
        hint = "number policies from there, or allow it on the device with `tidegate policy trusted --set`"
        return judge_version(trusted, version, digest, floor=floor, hint=hint)

    def verdict(self, version: int, digest: str) -> RolledBack | None:
        """The newest trusted policy if it is this one and was taken back."""
        trusted = self._state.trusted
        if trusted is None or (trusted.version, trusted.digest) != (version, digest):
            return None
        return RolledBack(version, digest, trusted.reason) if trusted.outcome is Outcome.ROLLED_BACK else None

    def offer(self, text: str, version: int, digest: str, floor: int = 0) -> Offer:
        """Trust a verified and valid policy's version from now on.

        NEW: `begin_trial` or `roll_back`. ALREADY_THERE: nothing to do, the reason says what became of it.
        REFUSED: a replay or downgrade, or a version from far ahead.
        """
        with self._lock:
            if self._state.trial is not None:
                raise WrongStateError(f"version {self._state.trial.version} is on trial; end it first")
            if digest != digest_of(text):
                return Offer(
                    Verdict.REFUSED,
                    f"version {version}: the text does not have the hash {digest}",
                    Refusal.INVALID,
                )
            answer = self.judge(version, digest, floor)
            if answer.verdict is Verdict.NEW and not self.offered(version, digest):
                self._write(replace(self._state, trusted=Trusted(version, digest, Outcome.OFFERED)))
            return answer

    def begin_trial(self, text: str, signed_by: tuple[str, ...] = ()) -> None:
        """Record that the offered policy, signed by those keys, is being tried from now on."""
        with self._lock:
            offered = self._offered()
            if digest_of(text) != offered.digest:
                raise WrongStateError(f"this is not the text that was offered as version {offered.version}")
            trial = StoredPolicy(text, offered.version, offered.digest, signed_by)
            trusted = Trusted(offered.version, offered.digest, Outcome.TRIAL)
            self._write(replace(self._state, trusted=trusted, trial=trial))

    def accept(self) -> StoredPolicy:
        """Make the policy on trial the accepted one."""
        with self._lock:
            trial = self._state.trial
            if trial is None:
                raise WrongStateError("no policy is on trial")
            trusted = Trusted(trial.version, trial.digest, Outcome.ACCEPTED)
            self._write(_State(trusted=trusted, accepted=trial, previous=self._state.accepted))
            return trial

    def put_off(self) -> None:
        """End the trial without a verdict: the policy is offered again, as before `begin_trial`."""
        with self._lock:
            trial = self._state.trial
            if trial is None:
                raise WrongStateError("no policy is on trial")
            trusted = Trusted(trial.version, trial.digest, Outcome.OFFERED)
            self._step_back(replace(self._state, trusted=trusted, trial=None))

    def roll_back(self, reason: str) -> RolledBack:
        """Give up the policy that is offered or on trial; the accepted one stays."""
        with self._lock:
            trial = self._state.trial
            given_up = trial if trial is not None else self._offered()
            trusted = Trusted(given_up.version, given_up.digest, Outcome.ROLLED_BACK, reason)
            self._step_back(replace(self._state, trusted=trusted, trial=None))
            return RolledBack(given_up.version, given_up.digest, reason)

    def take_back(self, reason: str) -> RolledBack:
        """Give up the accepted policy; the one that was accepted before it is the accepted one again."""
        with self._lock:
            accepted, trusted = self._state.accepted, self._state.trusted
            if accepted is None or self._state.trial is not None:
                raise WrongStateError("no policy is accepted, or one is on trial")
            if trusted is not None and (trusted.version, trusted.digest) == (accepted.version, accepted.digest):
                trusted = Trusted(accepted.version, accepted.digest, Outcome.ROLLED_BACK, reason)
            self._step_back(_State(trusted=trusted, accepted=self._state.previous))
            return RolledBack(accepted.version, accepted.digest, reason)

    def set_trusted(self, version: int) -> None:
        """Take pushes above `version` from now on; the accepted policy stays. For the device's owner."""
        with self._lock:
            if self._state.trial is not None:
                raise WrongStateError(f"version {self._state.trial.version} is on trial; wait for its end")
            if not 0 <= version <= _MAX_VERSION:
                raise WrongStateError(f"found version {version}, allowed are 0 to {_MAX_VERSION}")
            accepted = self._state.accepted
            if version == 0:
                trusted = None
            elif accepted is not None and accepted.version == version:
                trusted = Trusted(version, accepted.digest, Outcome.ACCEPTED)
            else:
                trusted = Trusted(version, "", Outcome.ROLLED_BACK, "the trusted version was set by hand")
            self._write(replace(self._state, trusted=trusted))

    def settle(self) -> bool:
        """Write down what the disk has refused so far; whether all is on the disk."""
        with self._lock, contextlib.suppress(StoreError):
            if self.unsaved:
                self._write(self._state)
        return not self.unsaved

    def _offered(self) -> Trusted:
        trusted = self._state.trusted
        if trusted is None or trusted.outcome is not Outcome.OFFERED:
            raise WrongStateError("no policy is offered")
        return trusted

    def _read(self) -> _State:
        raw = b""
        try:
            if not stat.S_ISREG(self._file.stat().st_mode):
                return self._begin_anew("it is not a file", raw)
            with self._file.open("rb") as file:
                raw = file.read(_LARGEST_BYTES + 1)
            state = _state().validate_json(raw)
        except FileNotFoundError:
            return _State()
        except OSError as error:
            return self._begin_anew(f"it can't be read: {error.strerror}", raw)
        except ValidationError:
            return self._begin_anew("it is damaged", raw)
        policies = (state.accepted, state.trial, state.previous)
        if any(policy is not None and policy.digest != digest_of(policy.text) for policy in policies):
            return self._begin_anew("the hash of a policy in it does not match", raw)
        return state

    def _begin_anew(self, what: str, raw: bytes) -> _State:
        """Move what is there aside. The trusted version goes on where it can still be read."""
        trusted = _readable_trust(raw)
        try:
            kept = f"it is kept as {set_aside(self._file).name}"
        except OSError as error:
            kept = f"it can't be moved aside: {error.strerror}"
        goes_on = (
            "pushes are accepted from version 1" if trusted is None else f"version {trusted.version} stays trusted"
        )
        self.damage = f"{self._file}: {what}; {kept}; {goes_on}"
        self.unsaved = trusted is not None
        return _State(trusted=trusted)

    def _write(self, state: _State) -> None:
        try:
            replace_file(self._file, json.dumps(asdict(state)))
        except OSError as error:
            raise StoreError(
                f"{self._file}: can't be written: {error.strerror}; free room, or let this user write there"
            ) from error
        self._state, self.unsaved = state, False

    def _step_back(self, state: _State) -> None:
        try:
            self._write(state)
        except StoreError:
            # A stop before `settle` finds the trial on the disk, and rolls it back as well.
            self._state, self.unsaved = state, True


def _readable_trust(raw: bytes) -> Trusted | None:
    """What a damaged file still says of the trusted version; an equal offer may bring its lost text again."""
    try:
        trusted = json.loads(raw)["trusted"]
        version, digest = trusted["version"], trusted["digest"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if type(version) is not int or not 1 <= version <= _MAX_VERSION:
        return None
    return Trusted(version, digest if isinstance(digest, str) else "", Outcome.OFFERED)
