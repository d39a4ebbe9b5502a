"""The trial of a bundle that came in: it serves under watch, and is kept only where nothing goes wrong."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from tidegate.errors import TidegateError
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError
from tidegate.supervisor.bundles.first_bundle import base_of
from tidegate.supervisor.bundles.pushed_bundle import PushedBundle
from tidegate.supervisor.bundles.slot_store import SlotStore, SlotStoreError
from tidegate.supervisor.bundles.slots import accept, begin_trial, put_off
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.telemetry.link.backoff import Backoff
from tidegate.trust.trusted_keys import NotSigned, Role


class Service(Protocol):
    """What a trial needs of whatever serves."""

    @property
    def in_force(self) -> InForce:
        """What runs."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Nobody else swaps anything meanwhile."""

    def watched(self) -> AbstractContextManager[None]:
        """Hold live answers against the full model's, until another bundle serves."""

    def problem_over(self, bundle: Bundle) -> str | None:
        """Why the policies in force can't run over a bundle's ladder; None where they can."""

    async def bring(self, bundle: Bundle, drift: DriftRecord | None = None) -> None:
        """Serve it; `drift` is what is known of its points already.

        Raises WorkerDown or TidegateError, and nothing has changed then.
        """

    async def problem_in_service(self, seconds: float) -> str | None:
        """What goes wrong while it serves for so long; None for nothing."""


class BundleTrial:
    """Belongs to the event loop; one `run` at a time, while nobody else swaps anything."""

    def __init__(
        self, store: SlotStore, service: Service, keys: KeyStore, emit: Callable[[Event], None], watch_s: float
    ) -> None:
        self._store = store
        self._service = service
        self._keys = keys
        self._emit = emit
        self._watch_s = watch_s

    async def run(self, pushed: PushedBundle, directory: Path) -> Bundle | str:
        """The bundle there, in force; or why it is not. Raises SlotStoreError, OSError; the former serves then."""
        before = self._service.in_force
        await asyncio.to_thread(self._store.write, begin_trial(self._store.slots))
        try:
            return await self._run(pushed, directory, before)
        except Exception:
            await self.serve_again(before.build, before.drift)
            raise

    async def _run(self, pushed: PushedBundle, directory: Path, before: InForce) -> Bundle | str:
        problem, bundle = await self._problem_before(pushed, directory)
        if problem is not None or bundle is None:
            return problem or "it is no bundle"
        if (problem := await self._not_brought(bundle)) is not None:
            return problem
        with self._service.watched():
            if (problem := await self._service.problem_in_service(self._watch_s)) is not None:
                await self.serve_again(before.build, before.drift)
                return problem
            await self._commit(before)
        return bundle

    async def _commit(self, before: InForce) -> None:
        """Put the bundle on trial in force. Raises SlotStoreError, and the former one serves again then."""
        base = await asyncio.to_thread(base_of, before.config.bundle)
        try:
            await asyncio.to_thread(self._store.write, accept(self._store.slots, base))
        except SlotStoreError:
            await self.serve_again(before.build, before.drift)
            self._store.step_back(put_off(self._store.slots))
            raise

    async def _problem_before(self, pushed: PushedBundle, directory: Path) -> tuple[str | None, Bundle | None]:
        """What can be told before it serves: signers not trusted any more, no bundle, or no policy for it."""
        signed = await asyncio.to_thread(self._keys.trusted.judge, pushed.envelope, Role.BUNDLE)
        if isinstance(signed, NotSigned):
            return f"its signers are trusted no longer: {signed.reason}", None
        try:
            bundle = await asyncio.to_thread(open_bundle, directory)
        except BundleError as error:
            return f"it is no bundle: {error}", None
        return await asyncio.to_thread(self._service.problem_over, bundle), bundle

    async def _not_brought(self, bundle: Bundle) -> str | None:
        """Why it does not serve; None where it does."""
        try:
            await self._service.bring(bundle)
        except WorkerDown as error:
            return f"a worker with it does not get ready: {error}"
        except TidegateError as error:
            return str(error)
        return None

    async def serve_again(self, bundle: Bundle, drift: DriftRecord | None) -> None:
        """Serve a former bundle, with what was known of it; tried until it succeeds: there is nothing better."""
        backoff = Backoff(base_s=1.0, cap_s=60.0)
        while self._service.in_force.build is not bundle:
            try:
                await self._service.bring(bundle, drift)
            except (WorkerDown, TidegateError, OSError) as error:
                text = f"the former bundle ({bundle.sha256[:12]}...) does not serve again yet: {error}"
                self._emit(Event(EventKind.FAULT, text, source="way back"))
                await asyncio.sleep(backoff.failed())
