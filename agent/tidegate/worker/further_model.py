"""One model beside the main one: what is asked of it, what it does, and what it served since the last report."""

import asyncio
from dataclasses import dataclass, replace

from tidegate.messages import FurtherModelSpec, FurtherModelState, ModelServed, ModelState
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.served_model import ServedModel


@dataclass(slots=True, eq=False)
class FurtherModel:
    """One model: what is asked of it, and what it does.

    `needs_bytes` is what loading it took before, `uncounted` what it served and no report has told yet.
    """

    spec: FurtherModelSpec
    wanted: bool
    state: ModelState = ModelState.UNAVAILABLE
    reason: str = ""
    served: ServedModel | None = None
    endpoint: ModelEndpoint | None = None
    loading: "asyncio.Task[None] | None" = None
    begun: bool = False
    asked_at: float = 0.0
    failed_at: float | None = None
    held_bytes: int | None = None
    needs_bytes: int = 0
    uncounted: ModelServed | None = None

    @property
    def may_be_evicted(self) -> bool:
        """Whether another model may take its memory."""
        return (
            self.served is not None
            and self.endpoint is not None
            and not self.begun
            and self.spec.on_request
            and not self.spec.used_by
            and not self.endpoint.unanswered
        )

    def count(self, model: ServedModel) -> None:
        """Keep for the next report what it served as `model`, which may be closed before that."""
        window = model.queue.report(0)
        now = ModelServed(
            self.spec.name,
            window.requests,
            window.failed,
            window.samples,
            window.latency_p50_ms,
            window.latency_p95_ms,
            window.skip_ratio,
            window.weights_resident_bytes,
        )
        before = self.uncounted
        if before is None:
            self.uncounted = now
            return
        latest = now if now.latency_p95_ms is not None else before
        self.uncounted = replace(
            latest,
            requests=before.requests + now.requests,
            failed=before.failed + now.failed,
            samples=before.samples + now.samples,
            weights_resident_bytes=now.weights_resident_bytes,
        )

    def told(self) -> FurtherModelState:
        """What the supervisor hears of it."""
        model = self.served
        return FurtherModelState(
            self.spec.name,
            self.spec.bundle_sha256,
            self.state,
            self.wanted,
            self.failed_at is not None,
            self.begun,
            self.reason,
            "" if model is None else model.point.name,
            "" if model is None else model.engine,
            {} if model is None else model.refused,
            self.held_bytes,
        )


def loads_now(spec: FurtherModelSpec) -> bool:
    """Whether a model is loaded without a request for it."""
    return spec.wanted and not spec.obstacle and (not spec.on_request or bool(spec.used_by))
