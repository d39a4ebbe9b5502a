"""The endpoint over TCP with a token, TLS and certificates of clients: who is answered, and who is not."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from certificates import HAVE_OPENSSL, Authority, Pair

from tidegate.demo.client import UnixConnection
from tidegate.listening.server_tls import read_server_tls
from tidegate.messages import ANYBODY, AdmissionState, TcpAccess
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.http.acceptor import HANDSHAKES_SHARE
from tidegate.worker.http.connections import Connections
from tidegate.worker.http.message import Caller, Head, Response
from tidegate.worker.http.server import Server

pytestmark = pytest.mark.skipif(not HAVE_OPENSSL, reason="needs openssl")

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
TOKEN = "0123456789abcdef0123456789abcdef"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
INFER = f"/v2/models/{BUNDLE.model}/infer"
LIMIT = 16
PICTURES = BUNDLE.samples().raw[:2].astype(np.uint8)
TENSOR = {
    "name": BUNDLE.input.name,
    "shape": list(PICTURES.shape),
    "datatype": "UINT8",
    "data": PICTURES.ravel().tolist(),
}
BODY = json.dumps({"inputs": [TENSOR]})


@contextmanager
def served(endpoint: Endpoint, access: TcpAccess, unix: Path | None = None) -> Iterator[int]:
    """The port of a server in another thread."""
    listening = [socket.create_server(("127.0.0.1", 0))]
    port = listening[0].getsockname()[1]
    if unix is not None:
        listening.append(socket.socket(socket.AF_UNIX))
        listening[1].bind(str(unix))
        listening[1].listen()
    started: Future[tuple[asyncio.AbstractEventLoop, Server]] = Future()

    async def serve() -> None:
        server = Server(endpoint, Connections(LIMIT), lambda: None)
        started.set_result((asyncio.get_running_loop(), server))
        await server.serve(listening, access)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    loop, server = started.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("signed") / "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.signed("server")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.signed("client", purpose="clientAuth")


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def asked(
    connection: http.client.HTTPConnection,
    path: str,
    headers: dict[str, str] | None = None,
    body: str | None = None,
) -> tuple[int, dict[str, str], dict[str, object]]:
    connection.request("GET" if body is None else "POST", path, body, headers or {})
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read())


def test_a_token_is_asked_of_everything_but_probes(endpoint: Endpoint, tmp_path: Path) -> None:
    with served(endpoint, TcpAccess(TOKEN), tmp_path / "door.sock") as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for path, body in (
                ("/v2", None),
                (INFER, BODY),
                ("/nowhere", None),
                (f"/v2/models/{BUNDLE.model}/ready", None),
            ):
                status, fields, said = asked(connection, path, headers, body)
                assert status == HTTPStatus.UNAUTHORIZED
                assert fields["www-authenticate"] == 'Bearer realm="tidegate"'
                assert fields["content-type"] == "application/json"
                assert "Authorization: Bearer TOKEN" in str(said["error"])
        assert asked(connection, "/v2/health/live")[::2] == (200, {"live": True})
        assert asked(connection, "/v2/health/ready")[::2] == (200, {"ready": True})
        status, _, said = asked(connection, INFER, SHOWN, BODY)
        assert status == HTTPStatus.OK
        assert said["outputs"]
        unasked = UnixConnection(str(tmp_path / "door.sock"), 20)
        assert asked(unasked, INFER, None, BODY)[0] == HTTPStatus.OK
        connection.close()
        unasked.close()


def test_a_probe_is_not_told_why(endpoint: Endpoint) -> None:
    before = endpoint.admission_state
    endpoint.admission_state = AdmissionState(fits=False, refuse=True, reason="the battery is at 3 %")
    try:
        for token, said in ((None, "battery"), (TOKEN, "false")):
            found = endpoint.begin(Head("GET", "/v2/health/ready"), Caller(is_local=False, token=token))
            if not isinstance(found, Response):
                held = endpoint.bodies.begin(lambda _: None)
                answered = found(Head("GET", "/v2/health/ready"), b"", held)
                assert isinstance(answered, Response)
                found = answered
            assert found.status == HTTPStatus.SERVICE_UNAVAILABLE
            assert said in found.body[0].decode()
            assert (token is None) is ("battery" in found.body[0].decode())
    finally:
        endpoint.admission_state = before


def test_shared_memory_is_for_this_machine_alone(endpoint: Endpoint) -> None:
    remote = Caller(is_local=False)
    for call in ("region/a/register", "region/a/status", "status", "unregister", "region/a/unregister"):
        path = f"/v2/systemsharedmemory/{call}"
        method = "GET" if call.endswith("status") else "POST"
        found = endpoint.begin(Head(method, path), remote)
        assert isinstance(found, Response), path
        assert found.status == HTTPStatus.FORBIDDEN
        assert b"on this machine alone" in found.body[0]
        assert not isinstance(endpoint.begin(Head(method, path)), Response)
    region = {"shared_memory_region": "a", "shared_memory_byte_size": PICTURES.nbytes}
    reads = {"name": TENSOR["name"], "shape": TENSOR["shape"], "datatype": "UINT8", "parameters": region}
    writes = {"name": "logits", "parameters": {**region, "shared_memory_byte_size": 80}}
    for document in ({"inputs": [reads]}, {"inputs": [TENSOR], "outputs": [writes]}):
        for caller, status in ((remote, HTTPStatus.FORBIDDEN), (Caller(is_local=True), HTTPStatus.BAD_REQUEST)):
            assert asyncio.run(answered(endpoint, caller, json.dumps(document).encode())).status == status


async def answered(endpoint: Endpoint, caller: Caller, body: bytes) -> Response:
    begun = endpoint.begin(Head("POST", INFER), caller)
    assert not isinstance(begun, Response)
    found = begun(Head("POST", INFER), body, endpoint.bodies.begin(lambda _: None))
    return found if isinstance(found, Response) else await found


def test_tls_with_a_token(endpoint: Endpoint, authority: Authority, server: Pair) -> None:
    access = TcpAccess(TOKEN, read_server_tls(server.certificate, server.key, None))
    with served(endpoint, access) as port:
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusting(authority))
        assert asked(connection, INFER, None, BODY)[0] == HTTPStatus.UNAUTHORIZED
        for _ in range(3):  # a body that is larger than a record, and a connection that is kept
            large = json.dumps({"inputs": [TENSOR], "parameters": {"padding": " " * 20_000}})
            assert asked(connection, INFER, SHOWN, large)[0] == HTTPStatus.OK
        assert connection.sock.version() in {"TLSv1.2", "TLSv1.3"}
        connection.close()
        stranger = http.client.HTTPSConnection("localhost", port, timeout=20, context=ssl.create_default_context())
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/v2")
        old = trusting(authority)
        with pytest.warns(DeprecationWarning, match=r"TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            http.client.HTTPSConnection("localhost", port, timeout=20, context=old).request("GET", "/v2")
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            asked(plain, "/v2/health/live")
        after = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusting(authority))
        assert asked(after, "/v2/health/live")[0] == HTTPStatus.OK
        after.close()


def test_a_client_shows_a_certificate(
    endpoint: Endpoint, authority: Authority, server: Pair, client: Pair, tmp_path: Path
) -> None:
    access = TcpAccess(tls=read_server_tls(server.certificate, server.key, authority.certificate))
    other = Authority(tmp_path / "other").signed("client")
    expired = authority.signed("expired", days=-1)
    with served(endpoint, access) as port:
        for wrong in (None, other, expired):
            refused = http.client.HTTPSConnection(
                "localhost", port, timeout=20, context=trusting(authority, wrong)
            )
            with pytest.raises((OSError, http.client.HTTPException)):
                asked(refused, "/v2/health/live")
            refused.close()
        right = http.client.HTTPSConnection("localhost", port, timeout=20, context=trusting(authority, client))
        assert asked(right, INFER, None, BODY)[0] == HTTPStatus.OK
        right.close()


def test_clients_that_say_nothing_leave_room(endpoint: Endpoint, authority: Authority, server: Pair) -> None:
    access = TcpAccess(tls=read_server_tls(server.certificate, server.key, None))
    with served(endpoint, access) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3 * LIMIT)]
        connection = http.client.HTTPSConnection("localhost", port, timeout=5, context=trusting(authority))
        assert asked(connection, "/v2/health/live")[0] == HTTPStatus.OK, "within a handshake's time"
        connection.close()
        open_yet = 0
        for each in silent:
            each.settimeout(0.05)
            try:
                open_yet += each.recv(1) != b""
            except TimeoutError:
                open_yet += 1
            except ConnectionError:
                pass
            each.close()
        assert open_yet <= 1 + HANDSHAKES_SHARE * LIMIT


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tritonclient_with_tls_and_a_token(
    endpoint: Endpoint, authority: Authority, server: Pair, client: Pair
) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    from tritonclient.utils import InferenceServerException  # noqa: PLC0415 - see above

    tensor = triton.InferInput(BUNDLE.input.name, list(PICTURES.shape), "UINT8")
    tensor.set_data_from_numpy(PICTURES)
    options = {"ca_certs": str(authority.certificate)}
    of_client = {"certfile": str(client.certificate), "keyfile": str(client.key)}
    for client_ca, more in ((None, {}), (authority.certificate, of_client)):
        access = TcpAccess(TOKEN, read_server_tls(server.certificate, server.key, client_ca))
        with (
            served(endpoint, access) as port,
            triton.InferenceServerClient(
                f"localhost:{port}", ssl=True, ssl_options={**options, **more}
            ) as connected,
        ):
            assert connected.is_server_live()
            assert connected.is_server_ready()
            assert connected.is_model_ready(BUNDLE.model, headers=SHOWN)
            found = connected.infer(BUNDLE.model, [tensor], headers=SHOWN).as_numpy("logits")
            assert found.shape == (2, len(BUNDLE.labels))
            with pytest.raises(InferenceServerException, match="a token is needed"):
                connected.infer(BUNDLE.model, [tensor])


def test_nothing_is_asked_by_default(endpoint: Endpoint) -> None:
    with served(endpoint, ANYBODY) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        assert asked(connection, INFER, None, BODY)[0] == HTTPStatus.OK
        connection.close()
