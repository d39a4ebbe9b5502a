"""One HTTP connection: uvicorn's, which has no limit on how long a request may be on its way, made to have one."""

import json
import logging
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from tidegate.worker.connections import DEADLINES_S, Connections, Stage

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024
LAST_BODY_S = 1.0
"""For a body that is on its way when the server stops."""
MAX_REASON_CHARACTERS = 200
"""h11 quotes the whole line that it could not take."""


class _Parser(h11.Connection):
    """h11's connection, which keeps what it could not take: uvicorn drops the reason."""

    refused: h11.RemoteProtocolError | None = None

    def next_event(self) -> Any:
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.refused = error
            raise


class HttpConnection(H11Protocol):
    """Tells the register what stage it is at, and ends when the register says so."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], connections: Connections
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.stage = Stage.ARRIVED
        self.since = 0.0
        self.unread_since: float | None = None
        self._connections = connections
        self.conn = self._parser = _Parser(h11.SERVER, MAX_HEAD_BYTES)

    @property
    def unread_bytes(self) -> int:
        """What was written and the client has not read."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self._connections.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        super().data_received(data)
        self._settle()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio keeps the transport open if it is True
        """Answer a client that has said all it had to say and still listens."""
        if self.stage is not Stage.ANSWERING:
            return False
        self.cycle.keep_alive = False
        return True

    def on_response_complete(self) -> None:
        """Go on after an answer."""
        if self.conn.their_state is h11.SEND_BODY and (b"expect", b"100-continue") in self.headers:
            self.transport.close()
        super().on_response_complete()
        self._settle()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the protocol's form and with the parser's own reason."""
        refused = self._parser.refused
        if refused is None:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)
        else:
            reason = str(refused)[:MAX_REASON_CHARACTERS]
            self._refuse(HTTPStatus(refused.error_status_hint), f"not a request in HTTP/1.1: {reason}")

    def expire(self) -> None:
        """End a stage that lasts too long."""
        if self.stage is Stage.HEAD or (self.stage is Stage.BODY and not self.cycle.response_complete):
            part, allowed_s = self.stage.name.lower(), DEADLINES_S[self.stage]
            text = f"the request's {part} was not whole after {allowed_s:.0f} s, which is what it may take"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, text)
            self._settle()
        elif self.stage in {Stage.ARRIVED, Stage.KEPT}:
            self.transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        """End now."""
        self.transport.abort()

    def shutdown(self) -> None:
        """End once what was asked is answered, without waiting long for what is still being asked."""
        if self.stage is Stage.BODY:
            self.loop.call_later(LAST_BODY_S, self.abort)
        with suppress(h11.LocalProtocolError):  # one that h11 has given up on has nothing to end
            super().shutdown()

    def _settle(self) -> None:
        stage = self._stage_now()
        if stage is not self.stage:
            self._connections.moved(self, stage)

    def _stage_now(self) -> Stage:
        if self.transport.is_closing():
            return Stage.CLOSING
        if self.cycle is not None and not self.cycle.response_complete:
            return Stage.BODY if self.cycle.more_body else Stage.ANSWERING
        if self.conn.their_state is not h11.IDLE:
            return Stage.BODY
        if self.conn.trailing_data[0]:
            return Stage.HEAD
        return Stage.ARRIVED if self.cycle is None else Stage.KEPT

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer instead of the application, where nobody has yet, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": message}).encode()
            headers = [
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                ("connection", "close"),
            ]
            for event in (
                h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
