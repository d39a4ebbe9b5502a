"""A real agent with more connections than it may open files: whoever asks is answered, and the log stays short."""

import http.client
import json
import resource
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import psutil
import pytest
from agent_process import AgentProcess

from tidegate.demo.client import UnixConnection

STRANGERS = 1300
CLIENTS, REQUESTS = 20, 5
MOST_AGAIN = 10
MOST_ANEW = 2
FILES = 1024
MAX_LOG_BYTES = 100_000
MAX_GROWTH_BYTES = 150 << 20
TENSOR = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [8] * 64}
BODY = json.dumps({"inputs": [TENSOR]}).encode()
HEAD = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
NESTED = b'{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [' + b"[]," * 2_600_000
LARGE = HEAD + b"Content-Length: 8000000\r\n\r\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="changes the limits of another process")


class House:
    """A running agent, its log since then, and two ways in."""

    def __init__(self, agent: AgentProcess) -> None:
        self.agent = agent
        pid = agent.status().worker.pid
        assert pid is not None
        self.worker = psutil.Process(pid)
        listening = [each for each in self.worker.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        self.port: int = listening[0].laddr.port
        self._log_before = len(agent.log())

    @property
    def log(self) -> str:
        return self.agent.log()[self._log_before :]

    def dial(self, way: str) -> socket.socket:
        if way == "tcp":
            return socket.create_connection(("127.0.0.1", self.port), timeout=10)
        dialled = socket.socket(socket.AF_UNIX)
        dialled.settimeout(10)
        dialled.connect(str(self.agent.directory / "tidegate.sock"))
        return dialled

    def client(self, way: str) -> http.client.HTTPConnection:
        if way == "tcp":
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return UnixConnection(str(self.agent.directory / "tidegate.sock"), 20)

    @staticmethod
    def _asked_once(client: http.client.HTTPConnection) -> tuple[int, bool]:
        """The status of one answer, and whether it says when to come again."""
        client.request("POST", "/v2/models/digits/infer", BODY)
        response = client.getresponse()
        response.read()
        return response.status, response.headers["Retry-After"] is not None

    def _asked_anew(self, client: http.client.HTTPConnection) -> tuple[int, bool]:
        """As clients do: a connection that a server closes before the answer is made anew (RFC 9112, 9.5)."""
        for _ in range(MOST_ANEW):
            try:
                return self._asked_once(client)
            except (ConnectionError, http.client.RemoteDisconnected):
                client.close()
        return self._asked_once(client)

    def asked(self, way: str) -> Counter[object]:
        """What real clients get, each with a connection of its own that it keeps."""

        def one(_: int) -> Counter[object]:
            client, answers = self.client(way), Counter[object]()
            for _ in range(REQUESTS):
                try:
                    status, later = self._asked_anew(client)
                    # Strangers with whole requests may fill the queue; a client comes again when it is told to.
                    for _ in range(MOST_AGAIN if later else 0):
                        if status == HTTPStatus.SERVICE_UNAVAILABLE:
                            time.sleep(0.5)
                            status, _later = self._asked_once(client)
                    answers[status] += 1
                except (OSError, http.client.HTTPException) as error:
                    client.close()
                    answers[repr(error)] += 1
                time.sleep(0.05)
            client.close()
            return answers

        with ThreadPoolExecutor(CLIENTS) as clients:
            return sum(clients.map(one, range(CLIENTS)), Counter[object]())


@contextmanager
def strangers(house: House, way: str, sent: bytes, number: int = STRANGERS) -> Iterator[None]:
    """That many connections, opened while the block begins and held until it ends."""
    held: list[socket.socket] = []
    enough = threading.Event()

    def come() -> None:
        for _ in range(number):
            if enough.is_set():
                return
            try:
                dialled = house.dial(way)
                held.append(dialled)
                dialled.sendall(sent)
            except OSError:
                continue  # pushed out by those behind it

    coming = threading.Thread(target=come)
    coming.start()
    try:
        yield
    finally:
        enough.set()
        coming.join(60)
        for each in held:
            each.close()


@pytest.fixture(scope="module")
def limits() -> Iterator[tuple[int, int]]:
    """Soft and hard limit of this process's files as they were; the strangers' ends may be held."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * STRANGERS
    if before[1] != resource.RLIM_INFINITY and before[1] < wanted:
        pytest.skip(f"this process may open {before[1]} files, {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, before[1]))
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(scope="module")
def agent_with_few_files(
    limits: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    """Started as a service is; children inherit the limit."""
    agent = AgentProcess(tmp_path_factory.mktemp("agent"), None, {})
    raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, limits[1]))
    try:
        agent.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, raised)
    yield agent
    agent.end()


@pytest.fixture
def house(agent_with_few_files: AgentProcess) -> House:
    """The agent, and its log from here on."""
    return House(agent_with_few_files)


# Behind their listening sockets both ways are one; the tests below come by the Unix socket.
@pytest.mark.parametrize("way", ["tcp", pytest.param("unix", marks=pytest.mark.slow)])
def test_strangers_at_any_stage_keep_nobody_out(house: House, way: str) -> None:
    for sent in (b"", HEAD, GOOD[:-9], GOOD):
        with strangers(house, way, sent):
            assert house.asked(way) == {200: CLIENTS * REQUESTS}
    assert len(house.log) < MAX_LOG_BYTES
    assert house.agent.status().worker.restarts == 0
    assert house.worker.num_fds() < FILES


def test_large_bodies_are_neither_held_nor_read_nor_waited_for(house: House) -> None:
    before = house.worker.memory_info().rss
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(NESTED) + NESTED
    for sent in (LARGE + NESTED, LARGE + b"[" * 7_900_000, chunked):
        with strangers(house, "unix", sent, number=60):
            assert house.asked("unix") == {200: CLIENTS * REQUESTS}
            assert house.worker.memory_info().rss < before + MAX_GROWTH_BYTES
    assert house.agent.status().worker.restarts == 0
    assert len(house.log) < MAX_LOG_BYTES


def test_an_upload_that_is_broken_off_is_one_line(house: House) -> None:
    for _ in range(200):
        leaving = house.dial("unix")
        leaving.sendall(GOOD[:-9])
        leaving.close()
    assert house.asked("unix") == {200: CLIENTS * REQUESTS}
    assert len(house.log.splitlines()) <= 1
    assert "Traceback" not in house.log


@pytest.mark.slow
def test_a_worker_that_lost_its_files_is_replaced_and_says_so_in_few_lines(house: House) -> None:
    # Fewer than are open: also when those who ask for nothing are sent away, nobody else can be let in.
    resource.prlimit(house.worker.pid, resource.RLIMIT_NOFILE, (8, 8))
    waiting = [house.dial("unix") for _ in range(20)]
    house.agent.wait_until(lambda status: status.worker.restarts == 1, timeout_s=60)
    for each in waiting:
        each.close()
    house.agent.wait_until(lambda status: status.worker.state == "serving", timeout_s=60)
    assert house.asked("unix") == {200: CLIENTS * REQUESTS}
    assert "no connection can be taken: Too many open files" in house.log
    assert "or it takes no connections" in house.log
    assert len(house.log) < 10_000


NOT_CERTIFIED = """\
tidegate: 1
name: nothing-fits
version: 1
max_accuracy_loss: 5 %
default: {use: {max_power: 1 mW}}
no_fit: refuse
dwell: {down: 0 s, up: 0 s}
"""


def test_who_refuses_every_request_is_not_ready(start_agent: Callable[..., AgentProcess], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(NOT_CERTIFIED)
    agent = start_agent()
    agent.wait_until(lambda status: status.decision is not None and not status.decision.fits)
    assert agent.ask()[0] == 503
    for path in ("/v2/health/ready", "/v2/models/digits/ready"):
        connection = UnixConnection(str(agent.directory / "tidegate.sock"), 10)
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["ready"]) == (503, False)
        connection.close()
