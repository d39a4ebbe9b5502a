"""Why the broker is not reached, in a sentence that says what to do next. Pure: no network and no disk in here."""

import errno
import socket
import ssl
import time
from dataclasses import asdict, dataclass

from tidegate.telemetry.broker import Broker

# No clock of a running device is right that shows a time before this software was made: 2026-01-01.
EARLIEST_PLAUSIBLE = 1_767_225_600


@dataclass(frozen=True, slots=True)
class SettingNames:
    """By which names the reader of a sentence sets what it is about."""

    host: str
    port: str
    credentials: str
    ca: str


IN_AGENT_YAML = SettingNames(
    "broker.host", "broker.port", "broker.username and broker.password_file", "broker.tls.ca"
)
ON_COMMAND_LINE = SettingNames("--broker", "--broker", "--username and --password-file", "--ca")

# CONNACK and DISCONNECT reason codes (MQTT 5, sections 3.2.2.2 and 3.14.2.1).
_REASONS = {
    0x80: "the broker refused without saying why; its log says more",
    0x81: "the broker calls a packet malformed; its log says more",
    0x82: "the broker reports a protocol error; its log says more",
    0x83: "the broker refused for a reason of its own; its log says more",
    0x84: "the broker does not speak MQTT 5; turn it on there, or use one that does",
    0x85: "the broker rejects the client id; allow ids that begin with tidegate-",
    0x86: "the user name or password is wrong; check {credentials}",
    0x87: "not authorized: the user name or password is wrong, or may not connect; check {credentials}",
    0x88: "the broker is not available now; reconnecting",
    0x89: "the broker is busy; reconnecting",
    0x8A: "the broker has banned this client; ask whoever runs it",
    0x8B: "the broker is shutting down; reconnecting",
    0x8C: "the broker requires another way to log in than user name and password; change that there",
    0x8D: "the broker heard nothing in time; the network drops or delays packets",
    0x8E: "taken over: another client has connected with the same id; give each device its own name (`device`)",
    0x90: "the broker rejects one of our topics; check its access list",
    0x93: "more messages were in flight than the broker allows; reconnecting",
    0x95: "a packet is too large for the broker; raise its limit",
    0x96: "the message rate is too high for the broker; raise its limit, or telemetry.window",
    0x97: "a quota at the broker is used up; raise it there",
    0x98: "the broker's operator ended the connection; reconnecting",
    0x9A: "the broker keeps no retained messages, which tidegate needs; turn them on there",
    0x9B: "the broker offers no QoS 1, which tidegate needs; turn it on there",
    0x9C: "the broker sends its clients to another server; set {host}",
    0x9D: "the broker has moved to another server; set {host}",
    0x9F: "the broker accepts no more connections for now; reconnecting",
    0xA0: "the broker ends connections that last long; reconnecting",
}

# X509_V_ERR_* of OpenSSL (openssl-verification-options(1)).
_NOT_YET_VALID, _EXPIRED, _HOST_NAME, _IP_ADDRESS = 9, 10, 62, 64
_NO_ISSUER = frozenset({2, 18, 19, 20, 21, 27})


def refusal(broker: Broker, code: int, name: str, settings: SettingNames) -> str:
    """For a CONNACK or DISCONNECT with this reason code and its name in the protocol."""
    sentence = _REASONS.get(code, f"the broker says {name}; its log says more")
    return f"{broker}: {_with_settings(sentence, settings)}"


def no_connection(broker: Broker, error: Exception, settings: SettingNames, now: float | None = None) -> str:
    """For what opening a connection raised. `now` is Unix time in seconds, by default that of the clock."""
    now = time.time() if now is None else now
    return f"{broker}: {_with_settings(_of_error(broker, error, now), settings)}"


def not_mqtt(broker: Broker, first: bytes, settings: SettingNames) -> str:
    """For an answer that is no CONNACK; `first` is how it begins."""
    if first[:1] in {b"\x15", b"\x16"}:
        sentence = "expects TLS, which is not turned on here; set {ca}, or set {port} to the one without TLS"
    else:
        began = first[:24].split(b"\r")[0].decode("ascii", errors="replace")
        sentence = f"is not an MQTT broker: it answered {began!r}; check {{port}}"
    return f"{broker}: {_with_settings(sentence, settings)}"


def no_answer(broker: Broker, waited_s: float, settings: SettingNames) -> str:
    """For a connection on which the CONNACK never comes."""
    silent = f"accepts connections but does not answer within {waited_s:.0f} s"
    sentence = f"{silent}: not an MQTT broker, or one that hangs; check {{port}}"
    return f"{broker}: {_with_settings(sentence, settings)}"


def hung_up(broker: Broker, settings: SettingNames) -> str:
    """For a connection that the other side ended before its CONNACK."""
    tls = "expects no TLS, or" if broker.tls_ca is not None else "expects TLS ({ca}), or"
    sentence = f"closes the connection without an answer: it {tls} is not an MQTT 5 broker; check {{port}}"
    return f"{broker}: {_with_settings(sentence, settings)}"


def cut_off(broker: Broker, times: int) -> str:
    """For connections that were up and ended within seconds, `times` in a row, as brokers may without a word."""
    return (
        f"{broker}: disconnected {times} times in a row soon after connecting: another client uses the same id"
        " (`device`), or the broker rejects a message; its log says which"
    )


def _with_settings(sentence: str, settings: SettingNames) -> str:
    for what, setting in asdict(settings).items():
        sentence = sentence.replace(f"{{{what}}}", setting)
    return sentence


def _of_error(broker: Broker, error: Exception, now: float) -> str:  # noqa: PLR0911 - one sentence each
    match error:
        case ssl.SSLCertVerificationError():
            return _of_certificate(broker, error, now)
        case ssl.SSLError():
            return _of_tls(broker, error)
        case socket.gaierror():
            return f"no such host: {broker.host!r} has no address here; check {{host}} and the network's DNS"
        case ConnectionRefusedError():
            return "refused: nothing listens there; start the broker, or check {port}"
        case TimeoutError() if "handshake" in str(error):
            return "accepts connections but does not answer in TLS: no TLS on this port, or it hangs; check {port}"
        case TimeoutError():
            return "no answer from this address; check {host}, the network and its firewall"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return hung_up(broker, SettingNames("{host}", "{port}", "{credentials}", "{ca}")).removeprefix(
                f"{broker}: "
            )
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH | errno.ENETDOWN | errno.EHOSTDOWN):
            return "not reachable: no route to this address now; check the network and {host}"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return "not reachable: this machine has no address for it; check the network and {host}"
        case FileNotFoundError() | PermissionError() | IsADirectoryError() if broker.tls_ca is not None:
            return f"the authority's file {broker.tls_ca} can't be read: {error.strerror}; check {{ca}}"
        case UnicodeError():
            return f"{broker.host!r} is not a valid host name; check {{host}}"
        case _:
            return str(error) or repr(error)


def _of_certificate(broker: Broker, error: ssl.SSLCertVerificationError, now: float) -> str:
    code = error.verify_code
    if code in {_NOT_YET_VALID, _EXPIRED} and now < EARLIEST_PLAUSIBLE:
        shown = time.strftime("%Y-%m-%d", time.gmtime(now))
        return f"this device's clock shows {shown}, so that no certificate can be checked; set the clock (NTP)"
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if code == _NOT_YET_VALID:
        return f"the broker's certificate is not valid yet by this clock ({shown}); check the clock, then it"
    if code == _EXPIRED:
        return (
            f"the broker's certificate has expired by this clock ({shown}); check the clock, renew the certificate"
        )
    if code in {_HOST_NAME, _IP_ADDRESS}:
        return f"the broker's certificate is for another name than {broker.host!r}; set {{host}} to the one in it"
    if code in _NO_ISSUER:
        return f"the broker's certificate is not from the authority in {broker.tls_ca}; check {{ca}}"
    return f"the broker's certificate is not accepted: {error.verify_message}; check it and {{ca}}"


def _of_tls(broker: Broker, error: ssl.SSLError) -> str:
    reason = (error.reason or "").upper()
    if reason in {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return "does not speak TLS on this port; set {port} to the one with TLS (often 8883), or leave out {ca}"
    if reason in {"NO_CERTIFICATE_OR_CRL_FOUND", "BAD_BASE64_DECODE", "NO_START_LINE", "BAD_END_LINE"} or (
        "PEM" in (error.library or "").upper()
    ):
        return f"the authority's file {broker.tls_ca} holds no PEM certificate; check {{ca}}"
    if "EOF" in reason or isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return "ended the TLS handshake; does it speak TLS on this port? check {port}"
    if "CERTIFICATE_REQUIRED" in reason or "BAD_CERTIFICATE" in reason:
        return "the broker wants a client certificate, which tidegate does not send; turn that off there"
    return f"TLS failed: {reason.lower().replace('_', ' ') or 'unknown reason'}; check {{port}} and {{ca}}"
