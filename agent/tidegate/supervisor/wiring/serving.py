"""What serves requests: the worker, and the sockets that it inherits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from tidegate.config import AgentConfig
from tidegate.paths import cache_directory
from tidegate.supervisor.control.brown_outs import first_point
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.models.model_board import ModelBoard
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.reload.swap import worker_spec
from tidegate.supervisor.sockets.listeners import Listeners
from tidegate.supervisor.sockets.socket_watch import SocketWatch
from tidegate.supervisor.worker.crash_reports import DIRECTORY as CRASHES
from tidegate.supervisor.worker.crash_reports import CrashReports
from tidegate.supervisor.worker.orphan import FILE_NAME as WORKER_RECORD
from tidegate.supervisor.worker.process import WorkerEnded, WorkerProcess
from tidegate.supervisor.worker.spec import FrigateSpec, WorkerSpec

FRIGATE_MODELS = "frigate_models"
"""Where models are kept that Frigate hands over, within the state directory."""


@dataclass(frozen=True, slots=True)
class Serving:
    """`sockets` looks after the listeners that `worker` answers on."""

    worker: WorkerProcess
    sockets: SocketWatch


def wire_serving(
    config: AgentConfig,
    opened: Opened,
    drift: DriftRecord,
    *,
    log_file: IO[bytes] | None,
    worker_ended: Callable[[WorkerEnded], None],
    emit: Callable[[Event], None],
) -> Serving:
    """A worker that is not started yet; `log_file` takes what it writes, None for the agent's own log."""
    bundle = opened.bundle
    built = WorkerSpec(
        bundle=bundle.path,
        engine=config.worker.engine,
        listening=opened.listeners.sockets,
        access=opened.access,
        cache_dir=cache_directory(),
        log_file=log_file,
        record=config.state_dir / WORKER_RECORD,
        crash_reports=CrashReports(config.state_dir / CRASHES),
        frigate=_frigate(config, opened.frigate),
    )
    point = first_point(opened.last_run, bundle.ladder, opened.first.running.policy, opened.guard)
    if point in drift.demotions:
        point = bundle.ladder.full.name
    board = ModelBoard(opened.models, emit, opened.left_out)
    worker = WorkerProcess(worker_spec(built, config, opened.certified), point, worker_ended, board)
    return Serving(worker, SocketWatch(opened.listeners, opened.frigate, worker.renew, emit))


def _frigate(config: AgentConfig, listeners: Listeners | None) -> FrigateSpec | None:
    if config.frigate is None or listeners is None:
        return None
    models = config.state_dir / FRIGATE_MODELS if config.frigate.hand_over else None
    return FrigateSpec(listeners.sockets[0], config.frigate.answer_within, models, config.frigate.model)
