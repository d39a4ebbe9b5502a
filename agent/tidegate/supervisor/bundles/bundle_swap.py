"""Puts another bundle in the place of the one that serves, and looks whether it does harm."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from tidegate.models.bundle import Bundle
from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.models.further_model import ModelNameError, check_name
from tidegate.supervisor.own_certificate import certified
from tidegate.supervisor.reload.candidate import Candidate, read_policy
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.reload.swap import Swap
from tidegate.supervisor.status.served_windows import ServedWindows
from tidegate.supervisor.wiring.deciding import Deciding
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.process import WorkerProcess

TRIAL_S = 10.0
"""How long a bundle that answered its canaries is watched while it answers requests."""
LOOK_EVERY_S = 1.0


class BundleSwap:
    """Belongs to the event loop."""

    def __init__(
        self,
        swap: Swap,
        reload: Reload,
        *,
        worker: WorkerProcess,
        deciding: Deciding,
        served: ServedWindows,
        link: BrokerLink,
    ) -> None:
        self._swap = swap
        self._reload = reload
        self._worker = worker
        self._control = deciding.control
        self._policies = deciding.updates
        self._served = served
        self._link = link

    @property
    def in_force(self) -> InForce:
        """What runs."""
        return self._swap.in_force

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """No reload meanwhile, and no sleep once it serves: only a worker can be watched."""
        async with self._reload.kept_out():
            with self._worker.kept_awake():
                yield

    def problem_over(self, bundle: Bundle) -> str | None:
        """Why a bundle can't be served by the policies and beside the models in force; None where it can.

        May take seconds.
        """
        try:
            check_name(bundle.model, (each.name for each in self._worker.board.models))
        except ModelNameError as error:
            return str(error)
        return self._policies.problem_over(certified(bundle, self.in_force.config).bundle.ladder)

    async def bring(self, bundle: Bundle, drift: DriftRecord | None = None) -> None:
        """Serve it, once a worker has answered its canaries; `drift` is what is known of its points already.

        Raises WorkerDown or DocumentError, and nothing has changed then.
        """
        local = self._policies.local_document
        ladder = (await asyncio.to_thread(certified, bundle, self.in_force.config)).bundle.ladder
        policy = await asyncio.to_thread(read_policy, local, self._swap.board, ladder)
        access, models = self._worker.spec.access, self._worker.board.models
        candidate = Candidate(
            self.in_force.config, (), bundle, local, policy, self._link.broker, access, models, drift
        )
        await self._swap.bring(candidate)

    async def certify_anew(self) -> None:
        """Serve the bundle that serves by the certificates that are there now.

        Raises WorkerDown or DocumentError, and nothing has changed then.
        """
        async with self._reload.kept_out():
            await self.bring(self.in_force.build)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hold each live answer of the bundle that serves now against the full model's, until another one does."""
        self._control.shadow_all = self._control.spares_demoted = True
        try:
            yield
        finally:
            self._control.shadow_all = self._control.spares_demoted = False

    async def problem_in_service(self, seconds: float) -> str | None:
        """What goes wrong while it serves for so long, `watched`; None for nothing.

        That live answers refute a certificate which holds happens in 1 % of trials at the most (policy/drift.py).
        """
        try:
            return await self._problem(seconds)
        finally:
            # What comes after it is held against nothing.
            self._control.shadow_all = False
            await self._control.step()

    async def _problem(self, seconds: float) -> str | None:
        restarts, until = self._worker.restarts, time.monotonic() + seconds
        while True:
            try:
                await self._worker.ping()
            except WorkerDown as error:
                return f"its worker stopped answering: {error}"
            await self._served.refresh()
            if self._worker.restarts != restarts:
                return "its worker ended; the event before says why"
            for demotion in self.in_force.drift.demotions.values():
                return f"on live requests, {demotion.point} {demotion.because}"
            if time.monotonic() >= until:
                return None
            await asyncio.sleep(min(LOOK_EVERY_S, seconds))
