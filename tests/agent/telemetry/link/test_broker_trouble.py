"""Every way not to reach a broker has its own sentence, which says what to do next; shown against real ones."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.link import Link, LinkState, trouble
from tidegate.telemetry.spool import Spool

DEVICE = Device("cam-1", (), session=1)
PATIENCE_S = 40.0


def reason_for(broker: Broker, tmp_path: Path) -> str:
    """The first reason that a real link gives."""
    reasons: list[str] = []
    told = threading.Event()

    def note(state: LinkState) -> None:
        if state.reason:
            reasons.append(state.reason)
            told.set()

    link = Link(
        broker, DEVICE, Spool(tmp_path / "spool.db", 10**6, 60.0), on_policy=lambda *_: None, on_state=note
    )
    link.backoff = Backoff(base_s=0.05, cap_s=0.2)
    link.start()
    try:
        assert told.wait(PATIENCE_S)
        return reasons[0]
    finally:
        link.stop(0.0)


class Certificates(NamedTuple):
    authority: Path
    other_authority: Path
    certificate: Path
    key: Path


def openssl(*arguments: str | Path, directory: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


def signed(directory: Path, name: str, *, until_days: int = 30) -> tuple[Path, Path]:
    """A certificate for `name` by the authority in `directory`, and its key."""
    (directory / "names").write_text(
        f"subjectAltName=DNS:{name},IP:{'127.0.0.1' if name == 'localhost' else '192.0.2.1'}"
    )
    request = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.req")
    openssl(*request, "-subj", f"/CN={name}", directory=directory)
    sign = ("x509", "-req", "-in", f"{name}.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl(*sign, "-out", f"{name}.pem", "-days", str(until_days), "-extfile", "names", directory=directory)
    return directory / f"{name}.pem", directory / f"{name}.key"


def authority(directory: Path, name: str) -> Path:
    create = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl(*create, "-subj", f"/CN={name}", "-days", "30", directory=directory)
    return directory / f"{name}.pem"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    directory = tmp_path_factory.mktemp("certificates")
    ours, other = authority(directory, "ca"), authority(directory, "other")
    return Certificates(ours, other, *signed(directory, "localhost"))


@contextmanager
def tls_broker(certificate: Path, key: Path) -> Iterator[LocalBroker]:
    with LocalBroker(settings=(f"certfile {certificate}", f"keyfile {key}")) as broker:
        yield broker


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port on which every connection is handed to `answer`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    held.append(connection)
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


@pytest.mark.broker
def test_wrong_password(mosquitto: None, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "cam", "right"], check=True, capture_output=True)
    with LocalBroker(settings=("allow_anonymous false", f"password_file {passwords}")) as strict:
        wrong = Broker("127.0.0.1", strict.port, "cam", "wrong")
        reason = reason_for(wrong, tmp_path)
        assert "user name or password is wrong" in reason
        assert "broker.password_file" in reason
        assert "wrong" not in reason.replace("is wrong", ""), "a password is never shown"
        assert "broker.username" in reason_for(Broker("127.0.0.1", strict.port), tmp_path)


@pytest.mark.broker
def test_certificates(mosquitto: None, certificates: Certificates, tmp_path: Path) -> None:
    with tls_broker(certificates.certificate, certificates.key) as broker:
        unknown = reason_for(Broker("localhost", broker.port, tls_ca=certificates.other_authority), tmp_path)
        assert "not from the authority" in unknown
        assert "broker.tls.ca" in unknown
        plain = reason_for(Broker("127.0.0.1", broker.port), tmp_path)
        assert "TLS" in plain
        assert "broker.tls.ca" in plain
    other_name = signed(certificates.authority.parent, "elsewhere.example")
    with tls_broker(*other_name) as broker:
        reason = reason_for(Broker("localhost", broker.port, tls_ca=certificates.authority), tmp_path)
        assert "another name than 'localhost'" in reason
        assert "broker.host" in reason
    expired = signed(certificates.authority.parent, "localhost", until_days=-1)
    with tls_broker(*expired) as broker:
        reason = reason_for(Broker("localhost", broker.port, tls_ca=certificates.authority), tmp_path)
        assert "expired" in reason
        assert "clock" in reason


@pytest.mark.parametrize("code", [9, 10])
def test_a_clock_at_1970_is_named_before_the_certificate(code: int) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "certificate is not yet valid"
    broker = Broker("b", 8883, tls_ca=Path("ca.pem"))
    assert "1970-01-01" in trouble.no_connection(broker, error, trouble.IN_AGENT_YAML, now=3600.0)
    assert "set the clock" in trouble.no_connection(broker, error, trouble.IN_AGENT_YAML, now=3600.0)
    assert "set the clock" not in trouble.no_connection(broker, error, trouble.IN_AGENT_YAML, now=1.8e9)


@pytest.mark.broker
def test_tls_to_a_plain_port(broker: LocalBroker, certificates: Certificates, tmp_path: Path) -> None:
    reason = reason_for(Broker("127.0.0.1", broker.port, tls_ca=certificates.authority), tmp_path)
    assert "TLS" in reason
    assert "broker.port" in reason


@pytest.mark.parametrize("content", [None, "garbage", "", "directory"])
def test_a_bad_authoritys_file(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content == "directory":
        file.mkdir()
    elif content is not None:
        file.write_text(content)
    reason = reason_for(Broker("127.0.0.1", 1, tls_ca=file), tmp_path)
    assert str(file) in reason
    assert "broker.tls.ca" in reason


def test_an_unknown_host(tmp_path: Path) -> None:
    reason = reason_for(Broker("no-such-host.invalid"), tmp_path)
    assert "no such host" in reason
    assert "broker.host" in reason


def test_a_refused_port(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        reason = reason_for(Broker("127.0.0.1", closed.getsockname()[1]), tmp_path)
    assert "nothing listens there" in reason


def test_a_listener_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.telemetry.link.connection.CONNACK_S", 0.5)
    with listening(lambda _: None) as port:
        assert "does not answer" in reason_for(Broker("127.0.0.1", port), tmp_path)


def test_a_listener_that_hangs_up(tmp_path: Path) -> None:
    with listening(lambda connection: connection.close()) as port:
        reason = reason_for(Broker("127.0.0.1", port), tmp_path)
    assert "closes the connection without an answer" in reason


@pytest.mark.slow
def test_an_http_server(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        reason = reason_for(Broker("127.0.0.1", server.server_port), tmp_path)
    finally:
        server.shutdown()
        server.server_close()
    assert "not an MQTT broker" in reason or "without an answer" in reason


def test_a_server_that_greets_first(tmp_path: Path) -> None:
    with listening(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")) as port:
        reason = reason_for(Broker("127.0.0.1", port), tmp_path)
    assert "SSH-2.0-OpenSSH_9.9" in reason
    assert "broker.port" in reason


def test_a_broker_of_mqtt_3(tmp_path: Path) -> None:
    with listening(lambda connection: connection.sendall(b"\x20\x02\x00\x01")) as port:
        reason = reason_for(Broker("127.0.0.1", port), tmp_path)
    assert "does not speak MQTT 5" in reason


CONNACK = b"\x20\x03\x00\x00\x00"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0x8E, "another client"), (0x8B, "shutting down"), (0x97, "quota"), (0x98, "operator")],
)
def test_a_broker_that_says_why_it_ends_the_connection(tmp_path: Path, code: int, words: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(CONNACK + bytes([0xE0, 1, code]))

    with listening(answer) as port:
        assert words in reason_for(Broker("127.0.0.1", port), tmp_path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x86, "broker.password_file"),
        (0x87, "broker.username"),
        (0x8A, "banned"),
        (0x84, "MQTT 5"),
        (0x97, "quota"),
    ],
)
def test_a_broker_that_says_why_it_refuses(tmp_path: Path, code: int, words: str) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(bytes([0x20, 3, 0, code, 0]))

    with listening(answer) as port:
        assert words in reason_for(Broker("127.0.0.1", port), tmp_path)


@pytest.mark.broker
def test_two_devices_of_one_name_are_told_by_a_broker_that_only_hangs_up(
    broker: LocalBroker, tmp_path: Path
) -> None:
    # Debian 12's mosquitto (2.0.11) sends no DISCONNECT to the one that is taken over.
    reasons: list[str] = []
    links = [
        Link(
            broker.address,
            DEVICE,
            Spool(tmp_path / f"{name}.db", 10**6, 60.0),
            on_policy=lambda *_: None,
            on_state=lambda state: reasons.append(state.reason),
        )
        for name in "ab"
    ]
    for link in links:
        link.backoff = Backoff(base_s=0.2, cap_s=0.5)
        link.start()
    wait_for(lambda: any("uses the same id" in reason for reason in reasons))
    for link in links:
        link.stop(0.0)


@pytest.mark.broker
def test_a_broker_that_is_stopped_and_comes_back(mosquitto: None, tmp_path: Path) -> None:
    states: list[LinkState] = []
    with LocalBroker() as broker:
        link = Link(
            broker.address,
            DEVICE,
            Spool(tmp_path / "s.db", 10**6, 60.0),
            on_policy=lambda *_: None,
            on_state=states.append,
        )
        link.backoff = Backoff(base_s=0.05, cap_s=0.2)
        link.start()
        wait_for(lambda: any(state.state == "online" for state in states))
        broker.process.terminate()
        broker.process.wait(10)
        wait_for(lambda: any("nothing listens" in state.reason for state in states))
        broker.restart()
        wait_for(lambda: states[-1].state == "online")
        link.stop(0.0)
    assert len(states) < 8, "one for each change, not for each attempt"


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_reason_code_has_a_sentence_that_can_be_read() -> None:
    broker = Broker("b.example", 1883)
    for code in range(0x80, 0xA3):
        for names in (trouble.IN_AGENT_YAML, trouble.ON_COMMAND_LINE):
            said = trouble.refusal(broker, code, "Some name", names)
            assert said.startswith("b.example:1883: ")
            assert "{" not in said
