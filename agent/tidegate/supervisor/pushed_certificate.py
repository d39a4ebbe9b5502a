"""Certificates that come over MQTT: judged, kept, brought into force, and taken back where that fails."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tidegate.config import AgentConfig
from tidegate.errors import TidegateError
from tidegate.files import replace_file
from tidegate.models.bundle.statement import StatementError, read_statement
from tidegate.models.ladder import Ladder
from tidegate.shortened import shortened
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.own_certificate import (
    MAX_SIGNED_BYTES,
    PUSHED,
    OwnCertificate,
    OwnCertificateError,
    own_certificate_in,
    pushed_certificate,
)
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.outcome import REASON_LIMIT
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.telemetry.payloads.reported import PolicyState
from tidegate.trust.dsse import DsseError, parse_envelope
from tidegate.trust.refusal import Refusal


class PushedCertificates:
    """`receive` is called on MQTT's thread, all else is the loop's."""

    def __init__(
        self,
        keys: KeyStore,
        in_force: Callable[[], InForce],
        problem_over: Callable[[Ladder], str | None],
        emit: Callable[[Event], None],
    ) -> None:
        """`problem_over` says why the policies in force can't run over a ladder."""
        self.verdict: PolicyState | None = None
        """On the last that was pushed."""
        self._keys = keys
        self._in_force = in_force
        self._problem_over = problem_over
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._stored = asyncio.Event()
        self._before: bytes | None = None

    def receive(self, topic: str, payload: bytes) -> None:
        """Judge one and keep it; raises OSError when it could not be made durable, and is then handed it again."""
        config, pushed = self._in_force().config, _named(payload)
        try:
            own = own_certificate_in(payload, Path(topic), self._keys.trusted)
        except OwnCertificateError as error:
            self._conclude(replace(pushed, state="refused", reason=str(error), refusal=error.refusal))
            return
        held = self._in_force().certified
        if held is not None and held.own is not None and held.own.digest == own.digest:
            self.verdict = replace(pushed, state="accepted")
            return
        if (refused := self._refused(config, own)) is not None:
            refusal, reason = refused
            self._conclude(replace(pushed, state="refused", reason=reason, refusal=refusal))
            return
        path = config.state_dir / PUSHED
        before = path.read_bytes() if path.exists() else None
        replace_file(path, payload)
        self._loop.call_soon_threadsafe(self._take, pushed, before)

    async def run(self, bring: Callable[[], Awaitable[None]]) -> None:
        """Bring what is kept into force as it comes; `bring` raises TidegateError or WorkerDown if it can't."""
        while True:
            await self._stored.wait()
            self._stored.clear()
            pushed = self.verdict
            if pushed is None:
                continue
            try:
                await bring()
            except (TidegateError, WorkerDown) as error:
                await asyncio.to_thread(self._take_back)
                self._conclude(replace(pushed, state="rolled_back", reason=str(error)))
            else:
                self._conclude(replace(pushed, state="accepted"))

    def _take(self, pushed: PolicyState, before: bytes | None) -> None:
        self.verdict, self._before = pushed, before
        self._stored.set()

    def _take_back(self) -> None:
        path = self._in_force().config.state_dir / PUSHED
        if self._before is None:
            path.unlink(missing_ok=True)
        else:
            replace_file(path, self._before)

    def _refused(self, config: AgentConfig, own: OwnCertificate) -> tuple[Refusal, str] | None:
        told, in_force = own.statement, self._in_force()
        if told.device != config.device:
            whose = "names no device" if told.device is None else f"is the device {told.device}'s"
            return Refusal.WRONG_TARGET, (
                f"it {whose}, this is {config.device}; `tidegate bundle certify ... --device {config.device}` "
                "counts for this one"
            )
        try:
            told.check(in_force.build)
        except StatementError as error:
            return Refusal.WRONG_TARGET, str(error)
        for other in (_last_pushed(config), None if in_force.certified is None else in_force.certified.own):
            if other is not None and told.counted_at <= other.statement.counted_at:
                at = other.statement.counted_at.isoformat(timespec="seconds")
                return Refusal.DOWNGRADE, f"it was counted no later than the one that is here, which is of {at}"
        problem = self._problem_over(told.ladder(in_force.build.ladder))
        return None if problem is None else (Refusal.INVALID, problem)

    def _conclude(self, verdict: PolicyState) -> None:
        self.verdict = verdict = replace(verdict, reason=shortened(verdict.reason, REASON_LIMIT))
        if verdict.state == "accepted":
            # That it is in force says who has brought it.
            return
        text = f"pushed certificate {verdict.state.replace('_', ' ')}: {verdict.reason}"
        details: dict[str, object] = {"refusal": verdict.refusal} if verdict.refusal else {}
        self._emit(Event(EventKind.CERTIFICATE, text, details, source=verdict.state))


def _named(payload: bytes) -> PolicyState:
    """How verdicts name what was pushed, whoever has signed it: as far as that can be read."""
    try:
        envelope = parse_envelope(payload, MAX_SIGNED_BYTES)
        told = read_statement(envelope.payload, "it")
    except (DsseError, StatementError):
        return PolicyState(0, "", "trial")
    digest = hashlib.sha256(envelope.payload).hexdigest()
    return PolicyState(int(told.counted_at.timestamp()), digest, "trial", push_id=envelope.push_id)


def _last_pushed(config: AgentConfig) -> OwnCertificate | None:
    try:
        return pushed_certificate(config)
    except OwnCertificateError:
        # Of a key that is trusted no more, for example: nobody goes by it.
        return None
