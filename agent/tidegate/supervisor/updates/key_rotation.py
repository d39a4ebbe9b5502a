"""The keys that this device trusts: those of agent.yaml, until their holders replace them by a signed message."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file
from tidegate.shortened import shortened
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.outcome import REASON_LIMIT
from tidegate.telemetry.payloads.envelope import MAX_ENVELOPE_BYTES, EnvelopeError, open_envelope
from tidegate.telemetry.payloads.keys_envelope import KeysDocument, KeysPush, keys_from, keys_in, keys_to
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.trust.dsse import Envelope
from tidegate.trust.keys import KeyFormatError
from tidegate.trust.ratchet import MOST_AHEAD
from tidegate.trust.refusal import Refusal
from tidegate.trust.trusted_keys import NotSigned, Role, TrustedKeys

FILE_NAME = "trusted_keys.json"
HAND_OVER_DEADLINE_S = 25.0
"""MQTT's keep-alive goes on after this at the latest."""


@dataclass(frozen=True, slots=True)
class _Rotated:
    """The last rotation. `base` is the hash of agent.yaml's keys that it replaced: other keys there undo it.

    Undone it stays: without a base, whatever agent.yaml says later. Its version remains the one to be above.
    """

    version: int
    hash: str
    base: str | None
    document: KeysDocument
    format: Literal[1] = 1


@cache
def _rotated() -> TypeAdapter[_Rotated]:
    return TypeAdapter(_Rotated)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a rotation changes nothing."""

    refusal: Refusal
    reason: str


def refusal_of(current: TrustedKeys, envelope: Envelope, push: KeysPush) -> Refused | None:
    """Why these keys can't follow the current ones; None where they can. Pure.

    As where TUF rotates root keys, the old keys and the new ones have to sign: so the new ones exist, and whoever
    holds them can rotate again. A message can't lock a device out, nor leave it without a key for its policies.
    """
    old = current.judge(envelope, Role.KEY_ROTATION)
    if isinstance(old, NotSigned):
        return Refused(old.refusal, old.reason)
    if (problem := push.keys.problem()) is not None:
        return Refused(Refusal.INVALID, problem.said)
    new = push.keys.judge(envelope, Role.KEY_ROTATION)
    if isinstance(new, NotSigned):
        said = "the new keys have to sign it too, or nobody could rotate them again"
        return Refused(Refusal.LOCKS_OUT, f"{said}: {new.reason}")
    for role in (Role.POLICY, Role.BUNDLE):
        if current.with_role(role) and not push.keys.with_role(role):
            return Refused(Refusal.LOCKS_OUT, f"no new key may sign a {role}, and one could before")
    return None


class KeyStore:
    """`trusted` and `use` are for any thread; `receive` is called on MQTT's thread, all else is the loop's."""

    def __init__(
        self,
        state_dir: Path,
        configured: TrustedKeys,
        latest_time: LatestTime,
        emit: Callable[[Event], None],
    ) -> None:
        self.verdict: PolicyState | None = None
        """The last one on a rotation."""
        self.refusals: Mapping[Refusal, int] = {}
        """How many rotations were refused since the start, by kind."""
        self._file = state_dir / FILE_NAME
        self._latest_time = latest_time
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._configured = configured
        self._rotated = self._read()
        self.trusted = configured if self._rotated is None else keys_from(self._rotated.document)
        self.use(configured)

    def use(self, configured: TrustedKeys) -> None:
        """Trust these keys of agent.yaml, or those that have replaced just these."""
        with self._lock:
            rotated, before, self._configured = self._rotated, self.trusted, configured
            in_force = rotated is not None and rotated.base == _base(configured)
            self.trusted = keys_from(rotated.document) if rotated is not None and in_force else configured
            if rotated is not None and rotated.base is not None and not in_force:
                self._undo(rotated)
        if rotated is not None and not in_force and self.trusted != before:
            since = f"which has changed since they were rotated (version {rotated.version})"
            text = f"the trusted keys are agent.yaml's, {since}"
            self._emit(Event(EventKind.CONFIG, text, {"keys": [each.name for each in configured.keys]}))

    def receive(self, topic: str, payload: bytes) -> None:
        """Take pushed keys; raises OSError when they could not be made durable, and is then handed them again."""
        now = asyncio.run_coroutine_threadsafe(self._now(), self._loop).result(HAND_OVER_DEADLINE_S)
        with self._lock:
            try:
                envelope = open_envelope(payload)
                push = keys_in(envelope)
            except EnvelopeError as error:
                kind = Refusal.TOO_LARGE if len(payload) > MAX_ENVELOPE_BYTES else Refusal.MALFORMED
                self._conclude(0, "", "", Refused(kind, str(error)))
                return
            rotated = self._rotated
            in_force = rotated is not None and rotated.base == _base(self._configured)
            if rotated is not None and in_force and (rotated.version, rotated.hash) == (push.version, push.hash):
                self._conclude(push.version, push.hash, push.push_id, None, repeated=True)
                return
            refused = self._refused(topic, envelope, push, *now)
            if refused is None:
                self._store(push)
            self._conclude(push.version, push.hash, push.push_id, refused)

    async def _now(self) -> tuple[float, str]:
        return self._latest_time.now().timestamp(), self._latest_time.problem

    def _refused(
        self, topic: str, envelope: Envelope, push: KeysPush, now_s: float, clock_problem: str
    ) -> Refused | None:
        if (refused := refusal_of(self.trusted, envelope, push)) is not None:
            return refused
        if push.target.keys_topic != topic:
            return Refused(
                Refusal.WRONG_TARGET, f"it is addressed to {push.target.keys_topic} and came on {topic}"
            )
        known = 0 if self._rotated is None else self._rotated.version
        if push.version <= known:
            return Refused(Refusal.DOWNGRADE, f"version {push.version} is not above {known}, the last rotation's")
        if push.version > known + MOST_AHEAD:
            said = f"version {push.version} is too far ahead: it may be at most {MOST_AHEAD} above {known}"
            return Refused(Refusal.TOO_FAR_AHEAD, said)
        if push.expires is not None and push.expires.timestamp() < now_s:
            because = f" ({clock_problem})" if clock_problem else ""
            return Refused(Refusal.EXPIRED, f"it expired at {push.expires.isoformat()}{because}")
        return None

    def _store(self, push: KeysPush) -> None:
        """Durable first, then in force. Raises OSError."""
        document = KeysDocument.model_validate(keys_to(push.keys))
        rotated = _Rotated(push.version, push.hash, _base(self._configured), document)
        replace_file(self._file, _rotated().dump_json(rotated))
        self._rotated = rotated
        self.trusted = push.keys

    def _undo(self, rotated: _Rotated) -> None:
        """Whoever writes the old list into agent.yaml again wants that one, and not what had replaced it."""
        self._rotated = replace(rotated, base=None)
        with suppress(OSError):
            # A disk that refuses costs the memory of it: agent.yaml as it is now undoes it at each start.
            replace_file(self._file, _rotated().dump_json(self._rotated))

    def _conclude(
        self, version: int, digest: str, push_id: str, refused: Refused | None, *, repeated: bool = False
    ) -> None:
        if refused is None:
            self.verdict = PolicyState(version, digest, "accepted", push_id=push_id)
            names = [each.name for each in self.trusted.keys]
            text = f"trusted keys version {version} are in force: {', '.join(names)}"
            details: dict[str, object] = {"version": version, "keys": names}
        else:
            reason = shortened(refused.reason, REASON_LIMIT)
            self.refusals = {**self.refusals, refused.refusal: self.refusals.get(refused.refusal, 0) + 1}
            self.verdict = PolicyState(
                version, digest, "refused", reason, push_id=push_id, refusal=refused.refusal
            )
            text = f"trusted keys version {version} refused: {reason}"
            details = {"version": version, "refusal": refused.refusal}
        if not repeated:
            self._emit(Event(EventKind.CONFIG, text, details, source=self.verdict.state))

    def _read(self) -> _Rotated | None:
        try:
            return _read(self._file)
        except (OSError, ValidationError, KeyFormatError):
            text = f"{self._file}: can't be read; the trusted keys are agent.yaml's, and need to be rotated again"
            self._emit(Event(EventKind.FAULT, text, {}))
            return None


def rotation_in_force(state_dir: Path, configured: TrustedKeys) -> tuple[int, TrustedKeys] | None:
    """The version and keys that have replaced agent.yaml's; None without any, or where that can't be told."""
    try:
        rotated = _read(state_dir / FILE_NAME)
    except (OSError, ValidationError, KeyFormatError):
        return None
    if rotated is None or rotated.base != _base(configured):
        return None
    return rotated.version, keys_from(rotated.document)


def _read(file: Path) -> _Rotated | None:
    """The last rotation; None before the first. Raises OSError, ValidationError, KeyFormatError."""
    try:
        rotated = _rotated().validate_json(read_file(file))
    except FileNotFoundError:
        return None
    keys_from(rotated.document)
    return rotated


def _base(configured: TrustedKeys) -> str:
    return hashlib.sha256(json.dumps(keys_to(configured)).encode()).hexdigest()
