"""The inference endpoint: HTTP in, the queue's answers out, each with its operating point and certified risk."""

import asyncio
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tidegate import __version__
from tidegate.messages import AdmissionState
from tidegate.worker.admission import Admission, TooMuch
from tidegate.worker.bodies import Bodies, BodyRefused, closing
from tidegate.worker.inference_queue import InferenceQueue, QueueAnswer, QueueFull
from tidegate.worker.protocol import BadRequest, Interface, read_request, reply
from tidegate.worker.shadow import Shadow

log = logging.getLogger(__name__)
T = TypeVar("T")

BUDGET_BYTES = 32 * 1024 * 1024
"""What the bodies of all requests, and the batches made of them, may hold; four of the largest fit in any case."""
QUICK_BYTES = 16 * 1024
"""A body this small is read in well under a millisecond; a larger one would keep the event loop from everybody."""
QUICK_VALUES = 2048
"""The same for values to be written."""

MAX_PATH_SHOWN = 100


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the endpoint tells of its model."""

    name: str
    interface: Interface
    output_shape: tuple[int, ...]


class Endpoint:
    """Serves one model; `admission_state` is what the supervisor last said of the policy."""

    def __init__(self, card: ModelCard, queue: InferenceQueue, shadow: Shadow) -> None:
        self.admission_state = AdmissionState(fits=True, refuse=False, reason="")
        self._card = card
        self._queue = queue
        self._admission = Admission()
        self._shadow = shadow
        largest = card.interface.max_body_bytes
        self._bodies = Bodies(largest, max(BUDGET_BYTES, 4 * largest))
        # One: what it does holds the interpreter's lock, and two would only take it from each other.
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parsing")
        self._turned_away = 0
        model = f"/v2/models/{card.name}"
        self.app = Starlette(
            routes=[
                Route("/v2", self._server),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                Route(model, self._model),
                Route(f"{model}/ready", self._ready),
                Route(f"{model}/infer", self._infer, methods=["POST"]),
            ],
            exception_handlers={404: self._not_found, 405: self._not_allowed, Exception: self._broken},
        )

    def take_turned_away(self) -> int:
        """How many requests the policy's limits refused since the last call."""
        count, self._turned_away = self._turned_away, 0
        return count

    async def _server(self, _request: Request) -> Response:
        return JSONResponse({"name": "tidegate", "version": __version__, "extensions": []})

    async def _live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _request: Request) -> Response:
        admission_state = self.admission_state
        if admission_state.lets_nothing_in:
            return JSONResponse({"ready": False, "error": admission_state.reason}, status_code=503)
        return JSONResponse({"ready": True})

    async def _not_found(self, request: Request, _missing: Exception) -> Response:
        known = f"/v2/models/{self._card.name}"
        return _error(
            404, f"{request.url.path[:MAX_PATH_SHOWN]}: nothing here; this server's only model is at {known}"
        )

    async def _not_allowed(self, request: Request, refused: Exception) -> Response:
        allowed = dict(refused.headers or {}) if isinstance(refused, HTTPException) else {}
        methods = allowed.get("Allow", "another one")
        return _error(405, f"{request.url.path}: found method {request.method}, allowed is {methods}", allowed)

    async def _broken(self, _request: Request, broken: Exception) -> Response:
        return _error(500, f"inference failed: {broken}")

    async def _model(self, _request: Request) -> Response:
        card, interface = self._card, self._card.interface
        taken = {"name": interface.input_name, "datatype": "FP32", "shape": [-1, *interface.sample_shape]}
        given = {"name": interface.output_name, "datatype": "FP32", "shape": [-1, *card.output_shape]}
        return JSONResponse({"name": card.name, "platform": "tidegate", "inputs": [taken], "outputs": [given]})

    async def _infer(self, request: Request) -> Response:
        admission_state = self.admission_state
        if admission_state.refuse:
            self._turned_away += 1
            return _error(503, admission_state.reason, closing(request))
        try:
            return await self._answer(request, admission_state)
        except ClientDisconnect:
            log.info("a client left before its request was whole")
            return Response(status_code=400)  # to nobody
        except (BadRequest, BodyRefused, TooMuch, QueueFull) as refusal:
            self._turned_away += isinstance(refusal, TooMuch)
            return _refused(refusal, admission_state)

    async def _answer(self, request: Request, admission_state: AdmissionState) -> Response:
        interface = self._card.interface
        with self._bodies.hold() as held:
            body = await held.read(request)
            parsed, batch = await self._aside_if(len(body) > QUICK_BYTES, lambda: read_request(body, interface))
            held.resize(batch.nbytes)
            with self._admission.enter(admission_state.rate_hz, admission_state.concurrency):
                answered = await asyncio.wrap_future(self._queue.infer(batch))
            self._shadow.consider(batch, answered, admission_state.shadow_share)
            outputs, parameters = answered.answer.outputs, _parameters(answered, admission_state)
            return await self._aside_if(
                outputs.size > QUICK_VALUES,
                lambda: JSONResponse(
                    reply(self._card.name, parsed.id, interface.output_name, outputs, parameters)
                ),
            )

    async def _aside_if(self, slow: bool, function: Callable[[], T]) -> T:
        """Call where it delays nobody, or here when it is quick."""
        if slow:
            return await asyncio.get_running_loop().run_in_executor(self._aside, function)
        return function()


def _parameters(answered: QueueAnswer, admission_state: AdmissionState) -> dict[str, str | float | bool]:
    """What every reply carries. A point without a certificate has no `certified_risk` rather than a 0."""
    parameters: dict[str, str | float | bool] = {
        "operating_point": answered.point.name,
        "skip_ratio": round(answered.answer.skip_ratio, 4),
        "policy_fits": admission_state.fits,
    }
    if answered.point.certificate is not None:
        parameters["certified_risk"] = answered.point.certificate.alpha
    return parameters


def _refused(refusal: BadRequest | BodyRefused | TooMuch | QueueFull, admission_state: AdmissionState) -> Response:
    match refusal:
        case BadRequest():
            return _error(400, str(refusal))
        case BodyRefused():
            return _error(refusal.status, str(refusal), refusal.headers)
        case TooMuch():
            retry_after = {"Retry-After": str(math.ceil(refusal.retry_after_s))}
            return _error(429, f"{refusal}; {admission_state.reason}", retry_after)
        case QueueFull():
            return _error(503, str(refusal), {"Retry-After": "1"})


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=headers)
