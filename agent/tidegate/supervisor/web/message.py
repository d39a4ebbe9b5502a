"""A request and its answer, as server and routes hand them to each other."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

PLAIN = "text/plain; charset=utf-8"
JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Request:
    """Method, path, query by name (the first of each), and headers by lower-case name (the last of each)."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered; a `body` that is a generator is sent as it comes, until the client goes."""

    kind: str
    body: bytes | AsyncGenerator[bytes, None]
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


def said(status: HTTPStatus, text: str, **headers: str) -> Answer:
    """A sentence and nothing else; underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(PLAIN, f"{text}\n".encode(), status, named)
