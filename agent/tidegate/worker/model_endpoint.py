"""One model's requests: read, answered by its queue, each reply with its point and certified risk."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter_ns
from typing import Any, NoReturn

from tidegate.messages import AdmissionState
from tidegate.worker import codings
from tidegate.worker.admission import TooMuch
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.http.bodies import BodyRefused, HeldBody, too_large
from tidegate.worker.http.message import Body, Head, Response
from tidegate.worker.inference_queue import InferenceQueue, QueueAnswer, QueueFull
from tidegate.worker.pictures import sample_of, takes_pictures
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.protocol.model_documents import model_configuration, model_metadata
from tidegate.worker.protocol.refusals import BadRequest, Forbidden
from tidegate.worker.protocol.reply import Reply, reply
from tidegate.worker.protocol.request import KEPT_BYTES, InferRequest, RegionPart, RequestReader
from tidegate.worker.reception import Reception
from tidegate.worker.responses import error_response, refused
from tidegate.worker.shadow import Shadow
from tidegate.worker.statistics import Statistics

log = logging.getLogger(__name__)

QUICK_JSON_BYTES = 16 * 1024
"""JSON this small is read in well under a millisecond; a larger one would keep the event loop from everybody."""
QUICK_BYTES = 1024 * 1024
"""The same for binary data."""
QUICK_VALUES = 8192
"""The same for values to be written."""
NO_REGION = "system shared memory: for clients on this machine alone; from others allowed is binary data"
JSON_LENGTH = "inference-header-content-length"


class ModelEndpoint:
    """Answers requests to one model; without a `shadow` no answer is held against the full model's."""

    def __init__(
        self,
        name: str,
        interface: Interface,
        queue: InferenceQueue,
        certified_answers: CertifiedAnswers,
        reception: Reception,
        shadow: Shadow | None = None,
    ) -> None:
        self.name = name
        self.interface = interface
        self.max_body_bytes = interface.max_body_bytes
        self.queue = queue
        self.statistics = Statistics()
        self.unanswered = 0
        """Requests that were read or wait to be answered."""
        self._certified_answers = certified_answers
        self._reception = reception
        self._shadow = shadow
        read_picture = sample_of if takes_pictures(interface.sample_shape) else None
        self._reader = RequestReader(interface, reception.regions.read, read_picture)
        self._remote_reader = RequestReader(interface, _no_region, read_picture)

    def metadata(self) -> dict[str, Any]:
        """GET /v2/models/{m}."""
        return model_metadata(self.name, self.interface)

    def configuration(self) -> dict[str, Any]:
        """GET /v2/models/{m}/config."""
        return model_configuration(self.name, self.interface)

    def infer_remotely(self, head: Head, body: Body, held: HeldBody) -> Response | Awaitable[Response]:
        """The same for who asks from another machine: without regions of shared memory."""
        return self.infer(head, body, held, is_local=False)

    def infer(
        self, head: Head, body: Body, held: HeldBody, *, is_local: bool = True
    ) -> Response | Awaitable[Response]:
        """Answer at once where nothing holds the event loop up for long, else later."""
        asked = _Asked(head, body, held, self._reception.admission_state, perf_counter_ns(), is_local)
        if asked.is_slow or not self.queue.answers_here:
            return self._answered_later(asked, None)
        try:
            request = self._read(asked)
            held.resize(request.batch.nbytes)
            values = len(request.batch) * self.interface.values
            if request.max_certified_risk is not None or values > QUICK_VALUES:
                return self._answered_later(asked, request)
            read_ns = perf_counter_ns()
            with self._reception.admission.enter(asked.admission_state.rate_hz, asked.admission_state.concurrency):
                answered = self.queue.infer_here(request.batch)
            answered_ns = perf_counter_ns()
            response = self._replied(asked, request, answered)
            self._note(asked, request, answered, read_ns, answered_ns)
        except Exception as error:  # noqa: BLE001 - what is no refusal is logged
            return self._failed(asked, error)
        return response

    async def _answered_later(self, asked: "_Asked", request: InferRequest | None) -> Response:
        self.unanswered += 1
        try:
            return await self._answered(asked, request)
        finally:
            self.unanswered -= 1

    async def _answered(self, asked: "_Asked", request: InferRequest | None) -> Response:
        try:
            if request is None:
                request = await self._reception.aside_if(asked.is_slow, lambda: self._read(asked))
                asked.held.resize(request.batch.nbytes)
            read_ns = perf_counter_ns()
            with self._reception.admission.enter(asked.admission_state.rate_hz, asked.admission_state.concurrency):
                if request.max_certified_risk is None:
                    answered = await asyncio.wrap_future(self.queue.infer(request.batch))
                else:
                    answered = await self._certified_answers.infer(request.batch, request.max_certified_risk)
            answered_ns = perf_counter_ns()
            is_slow, known = answered.answer.outputs.size > QUICK_VALUES, request
            response = await self._reception.aside_if(is_slow, lambda: self._replied(asked, known, answered))
            self._note(asked, request, answered, read_ns, answered_ns)
        except Exception as error:  # noqa: BLE001 - what is no refusal is logged
            return self._failed(asked, error)
        return response

    def _read(self, asked: "_Asked") -> InferRequest:
        body, coding = asked.body, asked.coding
        if coding in codings.WINDOW_BITS:
            try:
                body = codings.decoded(body, coding, self.max_body_bytes)
            except codings.TooLong:
                raise too_large("more, decoded", self.max_body_bytes) from None
        elif len(body) > self.max_body_bytes:
            raise too_large("more", self.max_body_bytes)
        json_bytes = _json_length(asked.head.headers)
        return (self._reader if asked.is_local else self._remote_reader).read(body, json_bytes)

    def _replied(self, asked: "_Asked", request: InferRequest, answered: QueueAnswer) -> Response:
        built = reply(
            self.name,
            request.id,
            self.interface,
            request.outputs,
            answered.answer.outputs,
            _parameters(answered, asked.admission_state),
            self._reception.regions.write if asked.is_local else _no_region_to_write,
        )
        return _response(built, asked.head.headers.get("accept-encoding"))

    def _note(
        self, asked: "_Asked", request: InferRequest, answered: QueueAnswer, read_ns: int, answered_ns: int
    ) -> None:
        """What is kept of an answer: a share of them is compared, all are counted."""
        if self._shadow is not None:
            self._shadow.consider(request.batch, answered, asked.admission_state.shadow_share)
        infer_ns = int(answered.latency_ms * 1e6)
        self.statistics.answered(
            len(request.batch),
            input_ns=read_ns - asked.began_ns,
            queue_ns=max(0, answered_ns - read_ns - infer_ns),
            infer_ns=infer_ns,
            output_ns=perf_counter_ns() - answered_ns,
        )

    def _failed(self, asked: "_Asked", error: Exception) -> Response:
        self.statistics.failed(perf_counter_ns() - asked.began_ns)
        if isinstance(error, BadRequest | BodyRefused | TooMuch | QueueFull):
            self._reception.turned_away += isinstance(error, TooMuch)
            return refused(error, asked.admission_state)
        log.error("inference failed", exc_info=error)
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, f"inference failed: {error}")


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
