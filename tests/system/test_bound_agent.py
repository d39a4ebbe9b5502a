"""An agent on every address: with a token and TLS, whose renewed files need no restart, and with nothing asked."""

import http.client
import json
import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from agent_process import AgentProcess
from certificates import HAVE_OPENSSL, Authority
from here import tidegate_here

from tidegate.config import load_config
from tidegate.service import trial

TOKEN, RENEWED = "0123456789abcdef", "fedcba9876543210"
TENSOR = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": [8] * 64}
StartAgent = Callable[..., AgentProcess]


def status_of(port: int, authority: Authority, token: str) -> int:
    context = ssl.create_default_context(cafile=authority.certificate)
    connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [TENSOR]}), headers)
    status = connection.getresponse().status
    connection.close()
    return status


def port_of(agent: AgentProcess) -> int:
    told = agent.log().partition("answers on https://0.0.0.0:")[2]
    return int("".join(letter for letter in told[:5] if letter.isdecimal()))


@pytest.mark.skipif(not HAVE_OPENSSL, reason="needs openssl")
def test_token_and_certificate_are_asked_and_renewed(start_agent: StartAgent, tmp_path: Path) -> None:
    authority, next_authority = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    pair, renewed = authority.signed("server"), next_authority.signed("server", days=90)
    token = tmp_path / "endpoint.token"
    token.write_text(f"{TOKEN}\n")
    listen = {"tcp": 0, "address": "0.0.0.0", "token_file": str(token), "tls": pair.paths}
    agent = start_agent(None, listen=listen)
    status = agent.wait_until(lambda status: bool(status.troubles))
    assert status.exposure == ""
    assert "the certificate expires on" in status.troubles[0].because
    port = port_of(agent)
    assert status_of(port, authority, TOKEN) == http.HTTPStatus.OK
    assert status_of(port, authority, RENEWED) == http.HTTPStatus.UNAUTHORIZED
    assert status.worker.pid is not None
    assert TOKEN not in " ".join(psutil.Process(status.worker.pid).cmdline())

    shutil.copy(renewed.certificate, pair.certificate)
    done = tidegate_here("reload", "--config", agent.config)
    assert done.returncode != 0
    assert f"{pair.key}: not the key of {pair.certificate}" in done.stderr
    assert status_of(port, authority, TOKEN) == http.HTTPStatus.OK, "as before"
    agent.kill_worker()
    agent.wait_until(lambda status: status.worker.state == "serving" and status.worker.restarts == 1)
    assert status_of(port, authority, TOKEN) == http.HTTPStatus.OK, "the next worker too"

    shutil.copy(renewed.key, pair.key)
    token.write_text(RENEWED)
    done = tidegate_here("reload", "--config", agent.config)
    assert done.returncode == 0, done.stderr
    assert "what listen.token_file and listen.tls hold" in done.stdout
    assert status_of(port, next_authority, RENEWED) == http.HTTPStatus.OK
    assert status_of(port, next_authority, TOKEN) == http.HTTPStatus.UNAUTHORIZED
    assert TOKEN not in agent.log()

    # What judges an upgrade asks as well, and there is no Unix socket.
    config = load_config(agent.config)
    connection, headers = trial.endpoint_connection(config.listen.model_copy(update={"tcp": port}))
    connection.request("GET", "/v2", headers=headers)
    assert connection.getresponse().status == http.HTTPStatus.OK
    connection.close()


def test_who_asks_for_nothing_is_told_so(start_agent: StartAgent) -> None:
    agent = start_agent(None, listen={"tcp": 0, "address": "0.0.0.0", "unauthenticated": True})
    assert "unauthenticated: whoever reaches 0.0.0.0 may ask" in agent.status().exposure
    assert agent.log().count("unauthenticated: whoever reaches") == 1
    shown = tidegate_here("status", "--config", agent.config).stdout
    assert "unauthenticated" in shown
