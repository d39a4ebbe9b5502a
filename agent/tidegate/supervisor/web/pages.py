"""What agent.yaml's `web` asks for: the status page and /metrics, served at its addresses."""

import logging
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import cached_property
from http import HTTPStatus

from tidegate import config as configuration
from tidegate.listening.token_file import read_token
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.web.access import Access
from tidegate.supervisor.web.message import Answer, Request, said
from tidegate.supervisor.web.page import StatusPage
from tidegate.supervisor.web.server import serve_web

log = logging.getLogger("tidegate")

Render = Callable[[str], tuple[str, bytes]]
"""From an Accept header to a content type and the metrics in it."""


class WebPages:
    """Belongs to the event loop. `address` is where a browser finds them, in words; empty before `serve`."""

    def __init__(
        self,
        config: configuration.Web,
        page: StatusPage,
        state: Callable[[], AgentState],
        totals: Callable[[], ServedTotals],
    ) -> None:
        self.address = ""
        self.page = page
        self._config = config
        self._state = state
        self._totals = totals

    async def serve(self, closing: AsyncExitStack) -> None:
        """Serve until `closing` ends. Raises WebError, or TokenError or DocumentError for a token."""
        config = self._config
        token = None if config.token_file is None else read_token(config.token_file)
        access = Access(frozenset((*config.hosts, *_own_names())), token)
        port = await serve_web(closing, config.unix, config.address, config.tcp, access, self._answer)
        host = f"[{config.address}]" if ":" in config.address else config.address
        self.address = f"http://{host}:{port}/" if port is not None else f"the Unix socket {config.unix}"
        log.info("status page and /metrics on %s", self.address)

    def _answer(self, request: Request) -> Answer:
        if request.path == "/metrics":
            return self._metrics(request)
        return self.page.answer(request) or said(HTTPStatus.NOT_FOUND, "there are / and /metrics")

    def _metrics(self, request: Request) -> Answer:
        try:
            kind, body = self._render(request.headers.get("accept", ""))
        except ModuleNotFoundError as error:
            way_out = "install it with `pip install 'tidegate[metrics]'`"
            text = f"/metrics: the package {error.name} is missing; {way_out}"
            return said(HTTPStatus.NOT_IMPLEMENTED, text)
        return Answer(kind, body)

    @cached_property
    def _render(self) -> Render:
        # Not at the top: the library takes 5 MB, and nobody may ever scrape.
        from tidegate.supervisor.metrics.exposition import exposition  # noqa: PLC0415 - see above

        return exposition(self._state, self._totals)


def _own_names() -> tuple[str, ...]:
    name = socket.gethostname().lower()
    return name, f"{name}.local"
