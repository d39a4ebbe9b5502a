"""Answers as JSON, and refusals in the protocol's form."""

import math
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json

from tidegate.messages import AdmissionState
from tidegate.worker.admission import TooMuch
from tidegate.worker.http.bodies import BodyRefused
from tidegate.worker.http.message import Response
from tidegate.worker.inference_queue import QueueFull
from tidegate.worker.protocol.refusals import BadRequest


def json_response(document: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The document, as JSON."""
    return Response(status, {"Content-Type": "application/json"}, (to_json(document),))


def error_response(status: HTTPStatus, message: str, headers: dict[str, str] | None = None) -> Response:
    """The protocol's error."""
    response = json_response({"error": message}, status)
    return Response(status, {**response.headers, **(headers or {})}, response.body)


def refused(refusal: BadRequest | BodyRefused | TooMuch | QueueFull, admission_state: AdmissionState) -> Response:
    """The answer to what is refused; `admission_state` says why the policy limits."""
    match refusal:
        case BadRequest():
            return error_response(refusal.status, str(refusal))
        case BodyRefused():
            return error_response(refusal.status, str(refusal), refusal.headers)
        case TooMuch():
            retry_after = {"Retry-After": str(math.ceil(refusal.retry_after_s))}
            text = f"{refusal}; {admission_state.reason}"
            return error_response(HTTPStatus.TOO_MANY_REQUESTS, text, retry_after)
        case QueueFull():
            return error_response(HTTPStatus.SERVICE_UNAVAILABLE, str(refusal), {"Retry-After": "1"})
