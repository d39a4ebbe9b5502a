"""The inference endpoint: requests in, answers of the queue out, each with its point and certified risk."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter_ns
from typing import Any, NoReturn, TypeVar

import numpy as np
from pydantic_core import to_json

from tidegate.listening.bearer import shows
from tidegate.messages import AdmissionState
from tidegate.worker import codings
from tidegate.worker.admission import Admission, TooMuch
from tidegate.worker.calls import Calls
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.http.bodies import Bodies, BodyRefused, HeldBody
from tidegate.worker.http.connection import Answer
from tidegate.worker.http.message import HERE, Body, Caller, Head, Response
from tidegate.worker.inference_queue import InferenceQueue, QueueAnswer, QueueFull
from tidegate.worker.pictures import sample_of, takes_pictures
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import VERSION
from tidegate.worker.protocol.refusals import BadRequest, Forbidden, NotFound, shown
from tidegate.worker.protocol.reply import Reply, reply
from tidegate.worker.protocol.request import KEPT_BYTES, InferRequest, RegionPart, RequestReader
from tidegate.worker.routes import Call, Route, model_path, route_of
from tidegate.worker.shadow import Shadow
from tidegate.worker.shared_memory import SharedMemory
from tidegate.worker.statistics import Statistics

log = logging.getLogger(__name__)
T = TypeVar("T")

BUDGET_BYTES = 32 * 1024 * 1024
"""What the bodies of all requests, and the batches made of them, may hold; four of the largest fit in any case."""
QUICK_JSON_BYTES = 16 * 1024
"""JSON this small is read in well under a millisecond; a larger one would keep the event loop from everybody."""
QUICK_BYTES = 1024 * 1024
"""The same for binary data."""
QUICK_VALUES = 8192
"""The same for values to be written."""
ALIGNED_BYTES = 64
"""Kernels read whole vectors; a tensor that is not aligned would have to be copied."""

MAX_PATH_SHOWN = 100
CHALLENGE = 'Bearer realm="tidegate"'
REGION_CALLS = frozenset({Call.REGION_STATUS, Call.REGION_REGISTER, Call.REGION_UNREGISTER})
NO_REGION = "system shared memory: for clients on this machine alone; from others allowed is binary data"
JSON_LENGTH = "inference-header-content-length"


class Endpoint:
    """Serves one model; `admission_state` is what the supervisor last said of the policy."""

    def __init__(
        self,
        model: str,
        interface: Interface,
        queue: InferenceQueue,
        shadow: Shadow,
        certified_answers: CertifiedAnswers,
        admission: Admission | None = None,
    ) -> None:
        self.admission_state = AdmissionState(fits=True, refuse=False, reason="")
        largest = interface.max_body_bytes
        self.bodies = Bodies(largest, max(BUDGET_BYTES, 4 * largest))
        self._model = model
        self._interface = interface
        self._queue = queue
        self._admission = Admission() if admission is None else admission
        self._shadow = shadow
        self._certified_answers = certified_answers
        self._regions = SharedMemory()
        read_picture = sample_of if takes_pictures(interface.sample_shape) else None
        self._reader = RequestReader(interface, self._regions.read, read_picture)
        self._remote_reader = RequestReader(interface, _no_region, read_picture)
        self._statistics = Statistics()
        self._calls = Calls(model, interface, self._regions, self._statistics)
        # One: what it does holds the interpreter's lock, and two would only take it from each other.
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parsing")
        self._turned_away = 0

    def take_turned_away(self) -> int:
        """How many requests the policy's limits refused since the last call."""
        count, self._turned_away = self._turned_away, 0
        return count

    def begin(self, head: Head, caller: Caller = HERE) -> Response | Answer:
        """What answers a request once its body is here, or the answer where the body need not be read."""
        route = route_of(head.path)
        if caller.token is not None and not shows(caller.token, head.headers.get("authorization", "")):
            return self._without_token(head, route)
        try:
            if route is None:
                raise self._nothing_at(head.path)
            if head.method not in route.methods:
                allowed = ", ".join(route.methods)
                text = f"{head.path[:MAX_PATH_SHOWN]}: found method {head.method[:20]}, allowed is {allowed}"
                return _error(HTTPStatus.METHOD_NOT_ALLOWED, text, {"Allow": allowed})
            self._check_model(route)
            if route.call is Call.INFER:
                if self.admission_state.refuse:
                    self._turned_away += 1
                    return _error(HTTPStatus.SERVICE_UNAVAILABLE, self.admission_state.reason)
                self._check_coding(head)
                return self._infer if caller.is_local else self._infer_remotely
            if route.call in REGION_CALLS and not caller.is_local:
                raise Forbidden(NO_REGION)
        except (BadRequest, BodyRefused) as refusal:
            return _error(refusal.status, str(refusal), _headers_of(refusal))
        return self._others(route)

    def body_buffer(self, head: Head, size: int) -> memoryview:
        """Memory for a body, in which the tensor behind the JSON is aligned."""
        declared = head.headers.get(JSON_LENGTH, "")
        json_bytes = int(declared) if declared.isdecimal() and len(declared) < 16 else 0
        memory = np.empty(size + ALIGNED_BYTES, np.uint8)
        start = -(memory.__array_interface__["data"][0] + json_bytes) % ALIGNED_BYTES
        return memory.data[start : start + size]

    def _without_token(self, head: Head, route: Route | None) -> Response:
        """Probes of load balancers and clusters show none: whether it lives and is ready is told, and no more."""
        if head.method == "GET" and route == Route(Call.LIVE):
            return _json({"live": True})
        if head.method == "GET" and route == Route(Call.READY):
            ready = not self.admission_state.lets_nothing_in
            return _json({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)
        text = "a token is needed: `Authorization: Bearer TOKEN`, with what is in this device's listen.token_file"
        return _error(HTTPStatus.UNAUTHORIZED, text, {"WWW-Authenticate": CHALLENGE})

    def _others(self, route: Route) -> Answer:
        def answer(_head: Head, body: Body, _held: HeldBody) -> Response:
            try:
                if route.call is Call.READY and (state := self.admission_state).lets_nothing_in:
                    return _json({"ready": False, "error": state.reason}, HTTPStatus.SERVICE_UNAVAILABLE)
                return _json(self._calls.answer(route, bytes(body), self.admission_state))
            except BadRequest as refusal:
                return _error(refusal.status, str(refusal))

        return answer

    def _check_model(self, route: Route) -> None:
        if route.model is not None and route.model != self._model:
            raise NotFound(f"model {shown(route.model)}: not here; {self._only_model()}")
        if route.version not in {None, VERSION}:
            raise NotFound(f"version {shown(route.version)} of {self._model}: not here; allowed is {VERSION!r}")

    def _only_model(self) -> str:
        return f"this server's only model is at {model_path(self._model)}"

    def _nothing_at(self, path: str) -> NotFound:
        return NotFound(f"{path[:MAX_PATH_SHOWN]}: nothing here; {self._only_model()}")

    def _check_coding(self, head: Head) -> None:
        coding = head.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity", *codings.WINDOW_BITS}:
            allowed = ", ".join(("identity", *codings.WINDOW_BITS))
            text = f"Content-Encoding: found {coding[:40]!r}, allowed are {allowed}"
            raise BodyRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text, {"Accept-Encoding": allowed})

    def _infer_remotely(self, head: Head, body: Body, held: HeldBody) -> Response | Awaitable[Response]:
        return self._infer(head, body, held, is_local=False)

    def _infer(
        self, head: Head, body: Body, held: HeldBody, *, is_local: bool = True
    ) -> Response | Awaitable[Response]:
        """Answer at once where nothing holds the event loop up for long, else later."""
        asked = _Asked(head, body, held, self.admission_state, perf_counter_ns(), is_local)
        if asked.is_slow or not self._queue.answers_here:
            return self._answered_later(asked, None)
        try:
            request = self._read(asked)
            held.resize(request.batch.nbytes)
            values = len(request.batch) * self._interface.values
            if request.max_certified_risk is not None or values > QUICK_VALUES:
                return self._answered_later(asked, request)
            read_ns = perf_counter_ns()
            with self._admission.enter(asked.admission_state.rate_hz, asked.admission_state.concurrency):
                answered = self._queue.infer_here(request.batch)
            answered_ns = perf_counter_ns()
            response = self._replied(asked, request, answered)
            self._note(asked, request, answered, read_ns, answered_ns)
        except Exception as error:  # noqa: BLE001 - what is no refusal is logged
            return self._failed(asked, error)
        return response

    async def _answered_later(self, asked: "_Asked", request: InferRequest | None) -> Response:
        try:
            if request is None:
                request = await self._aside_if(asked.is_slow, lambda: self._read(asked))
                asked.held.resize(request.batch.nbytes)
            read_ns = perf_counter_ns()
            with self._admission.enter(asked.admission_state.rate_hz, asked.admission_state.concurrency):
                if request.max_certified_risk is None:
                    answered = await asyncio.wrap_future(self._queue.infer(request.batch))
                else:
                    answered = await self._certified_answers.infer(request.batch, request.max_certified_risk)
            answered_ns = perf_counter_ns()
            is_slow, known = answered.answer.outputs.size > QUICK_VALUES, request
            response = await self._aside_if(is_slow, lambda: self._replied(asked, known, answered))
            self._note(asked, request, answered, read_ns, answered_ns)
        except Exception as error:  # noqa: BLE001 - what is no refusal is logged
            return self._failed(asked, error)
        return response

    def _read(self, asked: "_Asked") -> InferRequest:
        body, coding = asked.body, asked.coding
        if coding in codings.WINDOW_BITS:
            try:
                body = codings.decoded(body, coding, self.bodies.max_bytes)
            except codings.TooLong:
                raise self.bodies.too_large("more, decoded") from None
        json_bytes = _json_length(asked.head.headers)
        return (self._reader if asked.is_local else self._remote_reader).read(body, json_bytes)

    def _replied(self, asked: "_Asked", request: InferRequest, answered: QueueAnswer) -> Response:
        built = reply(
            self._model,
            request.id,
            self._interface,
            request.outputs,
            answered.answer.outputs,
            _parameters(answered, asked.admission_state),
            self._regions.write if asked.is_local else _no_region_to_write,
        )
        return _response(built, asked.head.headers.get("accept-encoding"))

    def _note(
        self, asked: "_Asked", request: InferRequest, answered: QueueAnswer, read_ns: int, answered_ns: int
    ) -> None:
        """What is kept of an answer: a share of them is compared, all are counted."""
        self._shadow.consider(request.batch, answered, asked.admission_state.shadow_share)
        infer_ns = int(answered.latency_ms * 1e6)
        self._statistics.answered(
            len(request.batch),
            input_ns=read_ns - asked.began_ns,
            queue_ns=max(0, answered_ns - read_ns - infer_ns),
            infer_ns=infer_ns,
            output_ns=perf_counter_ns() - answered_ns,
        )

    def _failed(self, asked: "_Asked", error: Exception) -> Response:
        self._statistics.failed(perf_counter_ns() - asked.began_ns)
        if isinstance(error, BadRequest | BodyRefused | TooMuch | QueueFull):
            self._turned_away += isinstance(error, TooMuch)
            return _refused(error, asked.admission_state)
        log.error("inference failed", exc_info=error)
        return _error(HTTPStatus.INTERNAL_SERVER_ERROR, f"inference failed: {error}")

    async def _aside_if(self, slow: bool, function: Callable[[], T]) -> T:
        """Call where it delays nobody, or here when it is quick."""
        if slow:
            return await asyncio.get_running_loop().run_in_executor(self._aside, function)
        return function()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request for inference, whole but not read."""

    head: Head
    body: Body
    held: HeldBody
    admission_state: AdmissionState
    began_ns: int
    is_local: bool

    @property
    def coding(self) -> str:
        """Of the body."""
        return self.head.headers.get("content-encoding", "identity").strip().lower()

    @property
    def is_slow(self) -> bool:
        """Whether reading it would keep the event loop from everybody."""
        quick_bytes = QUICK_BYTES if JSON_LENGTH in self.head.headers else QUICK_JSON_BYTES
        if len(self.body) > quick_bytes or self.coding in codings.WINDOW_BITS:
            return True
        # A small file may be a large picture.
        return b'"BYTES"' in bytes(self.body[:KEPT_BYTES])


def _json_length(headers: Mapping[str, str]) -> int | None:
    """How many bytes of the body are JSON, when the client says so. Raises BadRequest."""
    if (declared := headers.get(JSON_LENGTH)) is None:
        return None
    if not (declared.isascii() and declared.isdecimal() and len(declared) < 16):
        raise BadRequest(
            f"Inference-Header-Content-Length: found {declared[:40]!r}, a number of bytes belongs there"
        )
    return int(declared)


def _response(built: Reply, accept_encoding: str | None) -> Response:
    parts = (built.document,) if built.binary is None else (built.document, built.binary)
    headers = {"Content-Type": "application/json"}
    if built.binary is not None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(built.document)),
        }
    accepts = None if accept_encoding is None else codings.accepted(accept_encoding)
    if accepts is not None and sum(map(len, parts)) >= codings.LEAST_BYTES:
        parts, headers = (codings.encoded(parts, accepts),), {**headers, "Content-Encoding": accepts}
    return Response(HTTPStatus.OK, headers, parts)


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


def _no_region(_part: RegionPart) -> NoReturn:
    raise Forbidden(NO_REGION)


def _no_region_to_write(_part: RegionPart, _data: bytes) -> None:
    raise Forbidden(NO_REGION)


def _headers_of(refusal: Exception) -> dict[str, str]:
    return refusal.headers if isinstance(refusal, BodyRefused) else {}


def _refused(refusal: BadRequest | BodyRefused | TooMuch | QueueFull, admission_state: AdmissionState) -> Response:
    match refusal:
        case BadRequest() | BodyRefused():
            return _error(refusal.status, str(refusal), _headers_of(refusal))
        case TooMuch():
            retry_after = {"Retry-After": str(math.ceil(refusal.retry_after_s))}
            return _error(HTTPStatus.TOO_MANY_REQUESTS, f"{refusal}; {admission_state.reason}", retry_after)
        case QueueFull():
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(refusal), {"Retry-After": "1"})


def _json(document: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(status, {"Content-Type": "application/json"}, (to_json(document),))


def _error(status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> Response:
    response = _json({"error": message}, status)
    return Response(status, {**response.headers, **(headers or {})}, response.body)
