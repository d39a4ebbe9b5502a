"""What is asked of whoever connects to the endpoint over TCP, with what agent.yaml's `listen` refers to."""

import time
from dataclasses import dataclass

from tidegate.config import Listen
from tidegate.listening.loopback import is_loopback
from tidegate.listening.server_tls import read_server_tls, validity
from tidegate.listening.token_file import read_token
from tidegate.messages import ServerTls, TcpAccess

RENEW_S = 14 * 86400.0
"""Whoever renews by a timer does it well before; less is left only where that has failed."""
RENEW = "renew what is in listen.tls.certificate, then `tidegate reload`"


@dataclass(frozen=True, slots=True)
class CertificateTrouble:
    """`is_refused` by clients already; `way_out` is what to do."""

    said: str
    way_out: str
    is_refused: bool


def tcp_access(listen: Listen) -> TcpAccess:
    """The token and the certificates, read and checked. Raises TokenError, DocumentError or TlsError."""
    token = None if listen.token_file is None else read_token(listen.token_file)
    files = listen.tls
    return TcpAccess(
        token, None if files is None else read_server_tls(files.certificate, files.key, files.client_ca)
    )


def exposure(listen: Listen) -> str:
    """What others can do that is probably not meant, in a sentence; empty where there is nothing."""
    if listen.tcp is None or is_loopback(listen.address):
        return ""
    if listen.unauthenticated:
        return (
            f"unauthenticated: whoever reaches {listen.address} may ask for answers, "
            "and wake a worker that sleeps; set listen.token_file, or let a firewall know"
        )
    if listen.tls is None:
        return (
            f"the token travels in the clear to {listen.address}, and so do inputs and answers: whoever"
            " listens in has it; set listen.tls"
        )
    return ""


def certificate_trouble(tls: ServerTls | None, now: float) -> CertificateTrouble | None:
    """What is wrong with the certificate at `now`, in Unix time; None where nothing is."""
    if tls is None:
        return None
    valid = validity(tls)
    if now < valid.begins:
        said = (
            f"the certificate is not valid before {_day(valid.begins)}, and it is {_day(now)}: clients refuse it"
        )
        return CertificateTrouble(said, "set the clock: timedatectl set-ntp true", is_refused=True)
    if now > valid.ends:
        said = f"the certificate expired on {_day(valid.ends)}: clients refuse it"
        return CertificateTrouble(said, RENEW, is_refused=True)
    if now > valid.ends - RENEW_S:
        return CertificateTrouble(f"the certificate expires on {_day(valid.ends)}", RENEW, is_refused=False)
    return None


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))
