"""TLS for the endpoint: what the files hold is checked before it is used, and used as it was checked.

Contents travel from supervisor to worker, not paths: a worker that is replaced while files are being renewed
starts with those that were in force.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.messages import ServerTls

MAX_FILE_BYTES = 64 << 10
"""Three of them fit into a message to the worker."""
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""


class TlsError(TidegateError):
    """No TLS can be served with these files; the message says which one, and what to do."""

    exit_code = EX_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when a certificate holds, in Unix time."""

    begins: float
    ends: float


def read_server_tls(certificate: Path, key: Path, client_ca: Path | None) -> ServerTls:
    """What the files hold, fit to be served, though it may have expired. Raises TlsError."""
    tls = ServerTls(
        _read(certificate, "CERTIFICATE", "the server's certificate, then those between it and its authority"),
        _read(key, "PRIVATE KEY", "the private key of that certificate"),
        None
        if client_ca is None
        else _read(client_ca, "CERTIFICATE", "certificates of the authorities that sign clients"),
    )
    if "ENCRYPTED" in tls.key:
        raise TlsError(
            f"{key}: the key is encrypted, and nobody types its passphrase when an agent starts; decrypt it with "
            f"`openssl pkey -in {key} -out FILE`, and let the agent's user alone read FILE"
        )
    try:
        server_context(tls)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            found = f"{key}: not the key of {certificate}"
            raise TlsError(f"{found}; name the key that the certificate was requested with") from None
        raise TlsError(f"{certificate}, {key}: no TLS can be served with them: {_in_words(error)}") from None
    try:
        validity(tls)
    except ssl.SSLError as error:
        raise TlsError(f"{certificate}: clients would refuse it: {_in_words(error)}") from None
    return tls


def server_context(tls: ServerTls) -> ssl.SSLContext:
    """TLS 1.2 or newer; with `client_ca` clients need a certificate of one of these. Raises SSLError."""
    context = _context(tls)
    if tls.client_ca is not None:
        context.load_verify_locations(cadata=tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@lru_cache(maxsize=2)
def validity(tls: ServerTls) -> Validity:
    """When the server's certificate holds. Raises SSLError for one that no client takes for a server's.

    Python reads certificates of a peer only, hence a handshake with ourselves.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cadata=tls.certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(to_client, to_server)
    answers = _context(tls).wrap_bio(to_server, to_client, server_side=True)
    for each in (asks, answers, asks, answers, asks):
        try:
            each.do_handshake()
        except ssl.SSLWantReadError:
            continue
    found = asks.getpeercert()
    assert found is not None  # noqa: S101 - the handshake is over, and was about a certificate
    begins, ends = (ssl.cert_time_to_seconds(str(found[name])) for name in ("notBefore", "notAfter"))
    return Validity(begins, ends)


def _context(tls: ServerTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with _as_file(tls.certificate) as certificate, _as_file(tls.key) as key:
        context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A path for the only function that takes certificates, which takes no text."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as named:
            named.write(text.encode())
            named.flush()
            yield named.name


def _read(path: Path, label: str, allowed: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsError(f"{path}: {error.strerror}; expected {allowed}, for the agent's user to read") from None
    if len(content) > MAX_FILE_BYTES:
        raise TlsError(f"{path}: {len(content)} bytes; allowed are {MAX_FILE_BYTES} with {allowed}")
    if not content.isascii() or f"{label}-----".encode() not in content:
        way_out = "DER becomes PEM with `openssl x509 -inform DER` or `openssl pkey -inform DER`"
        raise TlsError(
            f"{path}: nothing in PEM that begins -----BEGIN {label}-----; expected {allowed}; {way_out}"
        )
    return content.decode("ascii")


def _in_words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    return (error.reason or str(error)).lower().replace("_", " ")
