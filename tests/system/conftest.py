"""Real agents for the system tests: a process of their own, the shipped bundle, a real broker."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from agent_process import AgentProcess
from notify_socket import NotifySocket

from tidegate.fleet.broker import LocalBroker


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., AgentProcess]]:
    """Starts agents that end with the test; keyword arguments become keys of agent.yaml, but for `constants`."""
    started: list[AgentProcess] = []

    def start(
        broker: LocalBroker | None = None, *, constants: Mapping[str, float] | None = None, **settings: object
    ) -> AgentProcess:
        agent = AgentProcess(tmp_path, broker, settings)
        agent.constants = constants or {}
        started.append(agent)
        agent.start()
        return agent

    yield start
    for agent in started:
        agent.end()


@pytest.fixture(scope="module")
def shared_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One agent without a broker, for tests of a module that leave it as they found it: a start takes seconds."""
    agent = AgentProcess(tmp_path_factory.mktemp("agent"), None, {})
    agent.start()
    yield agent
    agent.end()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotifySocket]:
    """Where agents that are started in the test notify systemd."""
    with NotifySocket(tmp_path / "notify") as listening:
        monkeypatch.setenv("NOTIFY_SOCKET", str(listening.path))
        yield listening
