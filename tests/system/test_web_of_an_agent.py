"""An agent serves its status page and /metrics where agent.yaml asks for it, and ends while somebody looks."""

import http.client
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import AgentProcess

from tidegate.demo.client import UnixConnection

StartAgent = Callable[..., AgentProcess]


def fetched(path: Path, target: str) -> tuple[int, str]:
    connection = UnixConnection(str(path), 20)
    connection.request("GET", target, headers={"Host": "localhost"})
    response = connection.getresponse()
    found = response.status, response.read().decode()
    connection.close()
    return found


def test_an_agent_is_looked_at(start_agent: StartAgent, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="needs tidegate[metrics]")
    unix = tmp_path / "web.sock"
    agent = start_agent(None, web={"unix": str(unix), "tcp": 0})
    agent.ask()
    status = agent.wait_until(lambda status: status.served is not None)
    assert status.web_address.startswith("http://127.0.0.1:")
    assert f"status page and /metrics on {status.web_address}" in agent.log()
    code, metrics = fetched(unix, "/metrics")
    assert code == 200
    assert 'tidegate_operating_point{point="full"} 1.0' in metrics
    assert "tidegate_worker_serving 1.0" in metrics
    assert '"device":"camera-1"' in fetched(unix, "/status")[1]
    assert "It would stay at full" in fetched(unix, "/what-if?battery=50")[1]
    port = int(status.web_address.removeprefix("http://127.0.0.1:").strip("/"))
    watching = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    watching.request("GET", "/events")
    stream = watching.getresponse()
    assert stream.readline() == b"retry: 1000\n"
    assert agent.end() == 0, "however long somebody would go on looking"
    assert "Traceback" not in agent.log()
    assert not unix.exists()
    watching.close()
