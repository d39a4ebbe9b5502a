"""A request's head and a response, as the connection and the application hand them to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

Body = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Head:
    """Method, path without its query, and headers by lower-case name; repeated ones are joined by commas."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits to be told to go on before it sends its body."""
        return self.headers.get("expect", "").strip().lower() == "100-continue"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `is_local` on this machine, and what `token` each request has to show, None for none."""

    is_local: bool
    token: str | None = None


HERE = Caller(is_local=True)
"""Whoever the file of a Unix socket lets in."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered; the parts of `body` are sent one after the other."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: tuple[bytes, ...]
