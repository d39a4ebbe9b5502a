"""Prometheus reads a real agent: its linter is silent, it scrapes, and the dashboard's queries find answers."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agent_process import BELOW_FULL, BUNDLE, PLAIN_POLICY, AgentProcess, Load, pinned

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push as push_envelope
from tidegate.paths import profiles_directory
from tidegate.telemetry.payloads.envelope import Target, seal

pytestmark = [pytest.mark.slow, pytest.mark.broker]

DASHBOARD = profiles_directory() / "grafana" / "agents.json"
GUARD = "drift_guard: {share: 100 %}\n"
DAY = "time_s,battery_percent,power_source,temperature_c,power_w\n0,60,battery,41,5\n600,50,battery,43,5\n"
WITHOUT_SAMPLES = {"tidegate_blocks_skipped_ratio", "tidegate_trouble", "tidegate_spool_rows_dropped_total"}
"""The shipped points skip no blocks, nothing is in trouble, and no row was given up."""


def program(name: str) -> str:
    """Its path; a failure where CI must have it."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; install the package prometheus")
        pytest.skip(f"NOT RUN on {platform.system()}: needs {name} (package prometheus)")
    return found


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool")


@pytest.fixture(scope="module")
def broker(promtool: str) -> Iterator[LocalBroker]:
    # Raises where mosquitto is missing.
    with LocalBroker() as running:
        yield running


@pytest.fixture(scope="module")
def agent(broker: LocalBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """With all that has metrics: three models, MQTT, readings, energy, footage, a drift guard, a refused push."""
    pytest.importorskip("prometheus_client", reason="needs tidegate[metrics]")
    directory = tmp_path_factory.mktemp("agent")
    (directory / "day.csv").write_text(DAY)
    (directory / "policy.yaml").write_text(PLAIN_POLICY + GUARD)
    settings: dict[str, object] = {
        "web": {"tcp": 0},
        "allow_unsigned": True,
        "inputs": {"max_age": "60 s"},
        "footage": {"max_size": "4 MiB", "clip": "100 ms"},
        "replay": {"trace": str(directory / "day.csv")},
        "models": [
            {"name": "twin", "bundle": str(BUNDLE)},
            {"name": "resting", "bundle": str(BUNDLE), "load": "on_request"},
        ],
    }
    started = AgentProcess(directory, broker, settings)
    started.start()
    try:
        started.wait_until(lambda status: status.telemetry.link == "online")
        assert push(broker, started, "rules: nonsense", 2) == "refused"
        yield started
    finally:
        started.end()


def push(broker: LocalBroker, agent: AgentProcess, policy: str, version: int) -> str:
    return push_envelope(broker.address, seal(policy, version, Target("device", agent.device))).outcome


def switch_to(point: str, version: int, broker: LocalBroker, agent: AgentProcess) -> None:
    assert push(broker, agent, pinned(point, version) + GUARD, version) == "accepted"
    agent.wait_until(lambda status: status.point == point)


def metrics(agent: AgentProcess) -> str:
    """As text, once a window with requests has gone into them."""
    before = served(agent)
    assert agent.ask()[0] == 200
    agent.wait_until(lambda status: served(agent) > before)
    return page(agent)


def page(agent: AgentProcess) -> str:
    with urllib.request.urlopen(f"{agent.status().web_address}metrics", timeout=20) as response:
        text: str = response.read().decode()
    return text


def served(agent: AgentProcess) -> float:
    (count,) = re.findall(r"^tidegate_requests_total (\S+)$", page(agent), re.MULTILINE)
    return float(count)


def said_by(promtool: str, text: str) -> tuple[int, str]:
    """Exit code and words of the linter."""
    command = [promtool, "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_linter_finds_what_breaks_conventions(promtool: str) -> None:
    code, words = said_by(promtool, "# HELP requests Requests\n# TYPE requests counter\nrequests 1\n")
    assert (code, "_total" in words) == (3, True)


def test_the_linter_has_nothing_to_say_before_and_after_a_switch(
    promtool: str, agent: AgentProcess, broker: LocalBroker
) -> None:
    full = metrics(agent)
    assert 'tidegate_operating_point{point="full"} 1.0' in full
    switch_to(BELOW_FULL, 3, broker, agent)
    below = metrics(agent)
    assert f'tidegate_operating_point{{point="{BELOW_FULL}"}} 1.0' in below
    for named in (
        'tidegate_model_ready{model="twin"} 1.0',
        'tidegate_model_ready{model="resting"}',
        "tidegate_broker_connected 1.0",
        "tidegate_energy_joules_total",
        "tidegate_footage_frames",
        'tidegate_inference_latency_seconds{quantile="0.95"}',
        "tidegate_pushes_refused_total{",
        'tidegate_reading{name="',
        "tidegate_shadow_samples_total{",
        "tidegate_switches_total 1.0",
    ):
        assert named in below
    assert said_by(promtool, full) == (0, "")
    assert said_by(promtool, below) == (0, "")


@pytest.fixture(scope="module")
def prometheus(agent: AgentProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus that scrapes the agent every half second."""
    started = program("prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    target = urllib.parse.urlsplit(agent.status().web_address).netloc
    scraped = [{"job_name": "tidegate", "static_configs": [{"targets": [target]}]}]
    often = {"scrape_interval": "500ms", "scrape_timeout": "500ms"}
    (directory / "prometheus.yml").write_text(yaml.safe_dump({"global": often, "scrape_configs": scraped}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        started,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_scraped(address, process, directory / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def wait_scraped(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the agent has been scraped twice, so that there are rates."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if any(float(found["value"][1]) >= 2 for found in answers(address, "count_over_time(up[1m])")):
                return
        except urllib.error.URLError:
            pass
        time.sleep(0.1)


def answers(address: str, query: str) -> list[Any]:
    """What Prometheus finds now."""
    asked = f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(asked, timeout=20) as response:
        found: list[Any] = json.load(response)["data"]["result"]
    return found


def queries() -> list[str]:
    """Of the dashboard's panels, with its variables as Grafana fills them in."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    return [query.replace("$instance", ".+").replace("$__rate_interval", "1m") for query in asked]


def without_answer(address: str) -> set[str]:
    """Metrics of the dashboard's queries that find nothing now."""
    silent = [query for query in queries() if not answers(address, query)]
    return {name for query in silent for name in re.findall(r"tidegate_\w+", query)}


def test_prometheus_scrapes_the_agent_and_answers_the_dashboard(agent: AgentProcess, prometheus: str) -> None:
    assert len(queries()) > 15
    deadline = time.monotonic() + 60
    with Load(agent):
        while not (silent := without_answer(prometheus)) <= WITHOUT_SAMPLES:
            assert time.monotonic() < deadline, silent
            time.sleep(0.25)
    assert [found["value"][1] for found in answers(prometheus, "up")] == ["1"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        answers(prometheus, "rate(tidegate_requests_total[1m]")
