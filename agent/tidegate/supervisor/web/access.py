"""Who may ask: by token, by the name that the browser knows us under, and never for another site. Pure.

A browser asks in the name of any page that it shows. A page of an attacker's site can't read our answers as long
as it is of another origin, but it may become one with ours: by a name of its own that suddenly leads to 127.0.0.1
(DNS rebinding). Hence names are refused that aren't ours; an address in numbers can't be rebound.
"""

import ipaddress
from dataclasses import dataclass
from http import HTTPStatus

from tidegate.listening.bearer import shows
from tidegate.supervisor.web.message import Answer, Request, said

_CHALLENGE = 'Basic realm="tidegate", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Access:
    """`hosts` are the names, in lower case, that lead here beside localhost; `token` is None if none is asked."""

    hosts: frozenset[str]
    token: str | None = None

    def refusal(self, request: Request) -> Answer | None:
        """Why a request is not answered; None where it is."""
        if self.token is not None and not shows(self.token, request.headers.get("authorization", "")):
            return said(
                HTTPStatus.UNAUTHORIZED,
                "a token is needed: as `Authorization: Bearer TOKEN`, or as the password to any user name",
                WWW_Authenticate=_CHALLENGE,
            )
        host = request.headers.get("host", "")
        # Whoever shows the token is no page of a rebound name: the browser keeps it for the name it was given to.
        if self.token is None and not self._ours(host):
            return said(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"{host[:80]!r} is no name of this device that it knows; ask for its address in numbers or for "
                "localhost, or list the name under web.hosts in agent.yaml",
            )
        if _from_elsewhere(request, host):
            return said(HTTPStatus.FORBIDDEN, "requests of other sites are refused")
        return None

    def _ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.lower().removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True


def _from_elsewhere(request: Request, host: str) -> bool:
    """Whether another site's page asks; following its link to the page itself is the user's own doing."""
    headers = request.headers
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2].lower() != host.lower():
        return True
    followed = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return headers.get("sec-fetch-site") in {"cross-site", "same-site"} and not (followed and request.path == "/")
