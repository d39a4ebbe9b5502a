"""One model as it is shown: where it is on its ladder, whether it answers, and what it served."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tidegate.messages import FurtherModelState, ModelServed, ModelState, Served
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import OperatingPoint
from tidegate.supervisor.metrics.served_totals import ModelTotals
from tidegate.supervisor.models.further_model import FurtherModel
from tidegate.supervisor.models.model_board import MEND, ModelBoard
from tidegate.supervisor.worker.process import WorkerState


class LoadState(StrEnum):
    """What became of a model: all that it can be, in one word."""

    LOADING = "loading"
    LOADED = "loaded"
    UNLOADED = "unloaded"
    EVICTED = "evicted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """`main` is the one that `bundle` names; `state` is in the words of Triton's repository index.
    `reason` says why it doesn't answer, `remedy` what to do about it; empty where there is nothing to say.

    `point`, `engine`, `certified_risk` and what follows `failed` are None while it isn't loaded or nothing was
    served. `requests` and `failed` count since the agent's start, latencies are of the last window. `held_bytes`
    is what the worker's memory grew by when the model was loaded, None for the main one.
    """

    name: str
    main: bool
    state: str
    bundle: str
    path: str
    reason: str = ""
    on_request: bool = False
    point: str | None = None
    engine: str | None = None
    certified_risk: float | None = None
    requests: int = 0
    failed: int = 0
    window_s: float | None = None
    window_requests: int | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    weights_resident_bytes: int | None = None
    held_bytes: int | None = None
    load_state: LoadState = LoadState.LOADED
    remedy: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return self.state == ModelState.READY

    @property
    def why(self) -> str:
        """Why it doesn't answer, and what to do about it."""
        return "; ".join(filter(None, (self.reason, self.remedy)))


def main_status(
    bundle: Bundle,
    point: OperatingPoint,
    engine: str,
    served: Served | None,
    totals: ModelTotals,
    worker: WorkerState,
) -> ModelStatus:
    """The main model's, which answers as long as there is a worker that does."""
    reason = "" if worker is WorkerState.SERVING else f"the worker is {worker}"
    without_worker = LoadState.UNLOADED if worker is WorkerState.ASLEEP else LoadState.LOADING
    return ModelStatus(
        name=bundle.model,
        main=True,
        state=ModelState.UNAVAILABLE.value if reason else ModelState.READY.value,
        bundle=bundle.sha256,
        path=str(bundle.path),
        reason=reason,
        point=point.name,
        engine=engine,
        certified_risk=point.certified_risk,
        requests=totals.requests,
        failed=totals.failed,
        window_s=None if served is None else served.window_s,
        window_requests=None if served is None else served.requests,
        latency_p50_ms=None if served is None else served.latency_p50_ms,
        latency_p95_ms=None if served is None else served.latency_p95_ms,
        weights_resident_bytes=None if served is None else served.weights_resident_bytes,
        load_state=without_worker if reason else LoadState.LOADED,
    )


def further_statuses(
    board: ModelBoard, served: Served | None, totals: Mapping[str, ModelTotals], worker: WorkerState
) -> tuple[ModelStatus, ...]:
    """The others', in the order of agent.yaml, and last those that could not be opened."""
    windows = {} if served is None else {each.name: each for each in served.models}
    opened = tuple(
        _further(
            each,
            board.states.get(each.name),
            windows.get(each.name),
            None if served is None else served.window_s,
            totals.get(each.name, ModelTotals()),
            board,
            worker,
        )
        for each in board.models
    )
    return (*opened, *(_left_out(name, why) for name, why in board.left_out.items()))


def _load_state(
    board: ModelBoard, model: FurtherModel, state: FurtherModelState | None, worker: WorkerState
) -> LoadState:
    """By what the worker says of it, None for nothing: there is none, or it has just begun."""
    if state is None:
        waits = worker is not WorkerState.ASLEEP and board.comes_by_itself(model)
        return LoadState.LOADING if waits else LoadState.UNLOADED
    if state.state is ModelState.LOADING:
        return LoadState.LOADING
    if state.state is ModelState.READY:
        return LoadState.LOADED
    if board.failed(state):
        return LoadState.FAILED
    return LoadState.EVICTED if board.evicted(state.name) else LoadState.UNLOADED


def _left_out(name: str, why: str) -> ModelStatus:
    state = ModelState.UNAVAILABLE.value
    return ModelStatus(name, False, state, "", "", why, load_state=LoadState.FAILED, remedy=MEND)


def _further(
    model: FurtherModel,
    state: FurtherModelState | None,
    window: ModelServed | None,
    window_s: float | None,
    totals: ModelTotals,
    board: ModelBoard,
    worker: WorkerState,
) -> ModelStatus:
    name = "" if state is None else state.point
    without = "the worker has just begun" if worker is WorkerState.SERVING else f"the worker is {worker}"
    point = next((each for each in model.bundle.ladder.points if each.name == name), None)
    return ModelStatus(
        name=model.name,
        main=False,
        state=ModelState.UNAVAILABLE.value if state is None else state.state.value,
        bundle=model.bundle.sha256,
        path=str(model.bundle.path),
        reason=without if state is None else state.reason,
        on_request=model.on_request,
        point=None if point is None else point.name,
        engine=None if state is None or not state.engine else state.engine,
        certified_risk=None if point is None else point.certified_risk,
        requests=totals.requests,
        failed=totals.failed,
        window_s=None if window is None else window_s,
        window_requests=None if window is None else window.requests,
        latency_p50_ms=None if window is None else window.latency_p50_ms,
        latency_p95_ms=None if window is None else window.latency_p95_ms,
        weights_resident_bytes=None if window is None else window.weights_resident_bytes,
        held_bytes=None if state is None else state.held_bytes,
        load_state=_load_state(board, model, state, worker),
        remedy="" if state is None or state.state is not ModelState.UNAVAILABLE else board.remedy(state),
    )
