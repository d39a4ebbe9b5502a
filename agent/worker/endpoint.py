"""The inference endpoint: HTTP in, the lane's answers out, each with its operating point and certified risk."""

import asyncio
import math
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent import __version__
from agent.messages import Standing
from agent.worker.admission import Admission, TooMuch
from agent.worker.lane import Lane, LaneAnswer, LaneFull
from agent.worker.protocol import BadRequest, batch_of, parse_request, reply
from agent.worker.shadow import Shadow

MAX_BODY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What the endpoint tells of its model, and how raw UINT8 input becomes what the net was trained on."""

    name: str
    input_name: str
    input_shape: tuple[int, ...]
    input_scale: float
    output_name: str
    output_shape: tuple[int, ...]


class Endpoint:
    """Serves one model; `standing` is what the supervisor last said of the policy."""

    def __init__(self, card: ModelCard, lane: Lane, shadow: Shadow) -> None:
        self.standing = Standing(fits=True, refuse=False, reason="")
        self._card = card
        self._lane = lane
        self._admission = Admission()
        self._shadow = shadow
        self._turned_away = 0
        model = f"/v2/models/{card.name}"
        self.app = Starlette(
            routes=[
                Route("/v2", self._server),
                Route("/v2/health/live", self._healthy),
                Route("/v2/health/ready", self._healthy),
                Route(model, self._model),
                Route(f"{model}/ready", self._healthy),
                Route(f"{model}/infer", self._infer, methods=["POST"]),
            ],
            exception_handlers={404: self._not_found, Exception: self._broken},
        )

    def take_turned_away(self) -> int:
        """How many requests the policy's limits refused since the last call."""
        count, self._turned_away = self._turned_away, 0
        return count

    async def _server(self, _request: Request) -> Response:
        return JSONResponse({"name": "tidegate", "version": __version__, "extensions": []})

    async def _healthy(self, _request: Request) -> Response:
        return JSONResponse({"live": True, "ready": True})

    async def _not_found(self, request: Request, _missing: Exception) -> Response:
        known = f"/v2/models/{self._card.name}"
        return _error(404, f"{request.url.path}: nothing here; this server's only model is at {known}")

    async def _broken(self, _request: Request, broken: Exception) -> Response:
        return _error(500, f"inference failed: {broken}")

    async def _model(self, _request: Request) -> Response:
        card = self._card
        return JSONResponse(
            {
                "name": card.name,
                "platform": "tidegate",
                "inputs": [{"name": card.input_name, "datatype": "FP32", "shape": [-1, *card.input_shape]}],
                "outputs": [{"name": card.output_name, "datatype": "FP32", "shape": [-1, *card.output_shape]}],
            }
        )

    async def _infer(self, request: Request) -> Response:
        standing = self.standing
        if standing.refuse:
            self._turned_away += 1
            return _error(503, standing.reason)
        try:
            parsed = parse_request(await _bounded_body(request))
            batch = batch_of(parsed, self._card.input_name, self._card.input_shape, self._card.input_scale)
            with self._admission.enter(standing.rate_hz, standing.concurrency):
                answered = await asyncio.wrap_future(self._lane.infer(batch))
        except BadRequest as error:
            return _error(400, str(error))
        except TooMuch as error:
            self._turned_away += 1
            retry_after = {"Retry-After": str(math.ceil(error.retry_after_s))}
            return _error(429, f"{error}; {standing.reason}", retry_after)
        except LaneFull as error:
            return _error(503, str(error), {"Retry-After": "1"})
        self._shadow.consider(batch, answered, standing.shadow_share)
        parameters = _parameters(answered, standing)
        return JSONResponse(
            reply(self._card.name, parsed.id, self._card.output_name, answered.answer.outputs, parameters)
        )


def _parameters(answered: LaneAnswer, standing: Standing) -> dict[str, str | float | bool]:
    """What every reply carries. A point without a certificate has no `certified_risk` rather than a 0."""
    parameters: dict[str, str | float | bool] = {
        "operating_point": answered.point.name,
        "skip_ratio": round(answered.answer.skip_ratio, 4),
        "policy_fits": standing.fits,
    }
    if answered.point.certificate is not None:
        parameters["certified_risk"] = answered.point.certificate.alpha
    return parameters


async def _bounded_body(request: Request) -> bytes:
    """The body, refused before it is read whole when it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadRequest(f"body: larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status_code=status, headers=headers)
