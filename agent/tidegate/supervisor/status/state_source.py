"""Puts the agent's state together from its parts."""

import time
from collections.abc import Callable

from tidegate import __version__
from tidegate.last_trial import LastTrial
from tidegate.supervisor.bundles.bundle_updates import BundleUpdates
from tidegate.supervisor.endpoint_access import exposure
from tidegate.supervisor.footage_watch import FootageState
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.metrics.served_totals import ModelTotals
from tidegate.supervisor.models.model_status import ModelStatus, further_statuses, main_status
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_status
from tidegate.supervisor.status.served_windows import ServedWindows
from tidegate.supervisor.status.status import Status
from tidegate.supervisor.upgrade_trial import version_before
from tidegate.supervisor.wiring.deciding import Deciding
from tidegate.supervisor.wiring.reporting import Reporting
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.telemetry.payloads.reported import ReportedCertificate


class StateSource:
    """Belongs to the event loop; the uptime counts from its making."""

    def __init__(
        self,
        in_force: Callable[[], InForce],
        worker: WorkerProcess,
        deciding: Deciding,
        bundles: BundleUpdates,
        reporting: Reporting,
        served: ServedWindows,
        failed_upgrade: LastTrial | None,
        *,
        latest_s: Callable[[], float | None],
        footage: Callable[[], FootageState | None],
        certificate: Callable[[], ReportedCertificate | None],
    ) -> None:
        self._in_force = in_force
        self._worker = worker
        self._deciding = deciding
        self._bundles = bundles
        self._reporting = reporting
        self._served = served
        self._failed_upgrade = failed_upgrade
        self._latest_s = latest_s
        self._footage = footage
        self._certificate = certificate
        self._started_at = time.monotonic()
        self.web_address = ""
        """Where a browser finds the status page, in words; empty where none is served."""

    def state(self) -> AgentState:
        """The agent as it is now."""
        worker, deciding, reporting, in_force = self._worker, self._deciding, self._reporting, self._in_force()
        config, bundle, link = in_force.config, in_force.bundle, reporting.link
        ladder = bundle.ladder
        return AgentState(
            at=time.time(),
            uptime_s=time.monotonic() - self._started_at,
            version=__version__,
            device=config.device,
            groups=config.groups,
            model=bundle.model,
            bundle=bundle.sha256,
            bundle_path=str(bundle.path),
            bundle_push=self._bundles.in_force,
            bundles=self._bundles.progress,
            ladder=ladder,
            engine=worker.engine,
            point=ladder.points[ladder.rung(worker.point)],
            refused=worker.refused,
            worker=worker.state,
            worker_pid=worker.pid,
            worker_restarts=worker.restarts,
            switches=deciding.control.switches,
            updates=deciding.updates.state,
            trusted_keys=deciding.keys.trusted,
            key_rotation=deciding.keys.verdict,
            allow_unsigned=deciding.updates.allow_unsigned,
            decision=deciding.control.decision,
            snapshot=deciding.control.snapshot(),
            served=self._served.latest,
            broker=None if link.broker is None else str(link.broker),
            link=link.state,
            spool=reporting.spool_counts.latest,
            demotions=tuple(in_force.drift.demotions.values()),
            troubles=reporting.troubles.now,
            recent=tuple(reporting.journal.recent),
            failed_upgrade=self._failed_upgrade,
            upgrading_from=version_before(),
            held_at=deciding.control.held_at,
            data_left_bytes=link.data_left_bytes,
            compared=in_force.drift.compared,
            key_refusals=deciding.keys.refusals,
            received=reporting.heard.received,
            heard=reporting.heard.counts,
            latest_step_s=self._latest_s(),
            web_address=self.web_address,
            exposure=exposure(config.listen),
            models=self._models(),
            footage=self._footage(),
            keeps_footage=config.footage is not None,
            certificate=self._certificate(),
            certificate_push=deciding.certificates.verdict,
        )

    def _models(self) -> tuple[ModelStatus, ...]:
        worker, bundle, served = self._worker, self._in_force().bundle, self._served
        totals = ModelTotals(served.totals.requests, served.totals.failed, served.totals.samples)
        point = bundle.ladder.points[bundle.ladder.rung(worker.point)]
        main = main_status(bundle, point, worker.engine, served.latest, totals, worker.state)
        return (main, *further_statuses(worker.board, served.latest, served.totals.models, worker.state))

    def retained(self) -> tuple[object, ...]:
        """All of the state that goes into the report, cheap to ask for: equal as long as that is equal."""
        upgrading_from = version_before()
        in_force = self._in_force()
        updates, keys = self._deciding.updates, self._deciding.keys
        pushed = (
            updates.state,
            updates.allow_unsigned,
            keys.trusted,
            keys.verdict,
            self._deciding.certificates.verdict,
        )
        decided = self._deciding.control.held_at, self._worker.point
        runs = in_force.bundle.sha256, in_force.config, in_force.drift.demotions, in_force.drift.compared
        board = self._worker.board
        beside = [(each.name, each.bundle.sha256) for each in board.models]
        models = beside, dict(board.states), dict(board.left_out), self._worker.state if beside else None
        return *pushed, self._bundles.progress, *decided, *runs, self._certificate(), upgrading_from, *models

    def status(self) -> Status:
        """Everything there is to show."""
        state = self.state()
        if state.decision is None:
            return as_status(state, None)
        return as_status(state, self._deciding.control.explanation(self._deciding.settings.obstacles))
