"""One agent as `tidegate run` starts it, with its configuration, its log, and a client that loads it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import yaml
from service_forks import ForkedService

from tidegate import child
from tidegate.demo.client import LoadClient, LoadSummary, UnixConnection
from tidegate.engines.engine import REFERENCE
from tidegate.fleet.broker import LocalBroker
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.supervisor.status.socket import StatusError, fetch_status
from tidegate.supervisor.status.status import Status

BUNDLE = profiles_directory() / "bundles" / "digits"
ENGINE = "onnx"
"""Has points of its own on the shipped ladder, and starts fastest."""


def rungs(engine: str) -> list[str]:
    """Names of the shipped points that an engine runs, full first."""
    points = open_bundle(BUNDLE).ladder.points
    return [point.name for point in points if point.engine in {REFERENCE, engine}]


BELOW_FULL = rungs(ENGINE)[1]

START_S = 60.0

PLAIN_POLICY = """\
tidegate: 1
name: plain
version: 1
max_accuracy_loss: 5 %
default: {use: full}
dwell: {down: 0 s, up: 0 s}
"""


def pinned(point: str, version: int) -> str:
    """A policy that asks for one operating point and nothing else."""
    policy = PLAIN_POLICY.replace("version: 1", f"version: {version}").replace("{use: full}", f"{{use: {point}}}")
    return policy.replace("name: plain", f"name: pinned-{point}")


COMMAND_LINE = ("tidegate.cli.entry", "run", "--config")
SERVICE = ("tidegate.supervisor",)
"""What `tidegate run` becomes after a second of its own."""


class AgentProcess:
    """`tidegate run` in a directory that outlives restarts."""

    device = "camera-1"
    bundle = BUNDLE
    program = SERVICE
    constants: Mapping[str, float] = MappingProxyType({})
    """Of tidegate's modules, by dotted names: waits to be shorter than those of a device. Linux only."""

    def __init__(self, directory: Path, broker: LocalBroker | None, settings: dict[str, object]) -> None:
        self.directory = directory
        self.state_dir = Path(str(settings.get("state_dir", directory / "state")))
        self.config = directory / "agent.yaml"
        policy = directory / "policy.yaml"
        if not policy.exists():
            policy.write_text(PLAIN_POLICY)
        document = {
            "device": self.device,
            "bundle": str(BUNDLE),
            "policy": str(policy),
            "state_dir": str(self.state_dir),
            "listen": {"unix": str(directory / "tidegate.sock"), "tcp": 0},
            "telemetry": {"window": "500 ms"},
            "worker": {"engine": ENGINE},
            **settings,
        }
        if broker is not None:
            document["broker"] = {"host": "127.0.0.1", "port": broker.port}
        self.config.write_text(yaml.safe_dump(document))
        self._process: subprocess.Popen[bytes] | ForkedService | None = None
        self._log = directory / "agent.log"

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        """What starts it."""
        return child.command(*self.program, str(self.config))

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it has decided for the first time."""
        with self._log.open("ab") as log:
            command = self.command()
            if sys.platform == "linux" and command == child.command(*SERVICE, str(self.config)):
                self._process = ForkedService(self.config, log, self.constants)
            else:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child.environment()
                )
        if wait:
            self.wait_until(lambda status: status.decision is not None, START_S)

    def kill(self) -> None:
        """SIGKILL for the supervisor alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def status(self) -> Status:
        """What it says of itself; raises StatusError when there is nobody."""
        return asyncio.run(fetch_status(self.state_dir / "status.sock"))

    def wait_until(self, holds: Callable[[Status], bool], timeout_s: float = 20.0) -> Status:
        """The first status of which `holds` is true."""
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"the agent ended with {self._process.returncode}:\n{self.log()}")
            try:
                status = self.status()
            except StatusError:
                time.sleep(0.1)
                continue
            if holds(status):
                return status
            # Each look costs both sides some milliseconds of processor time.
            time.sleep(0.1)
        raise AssertionError(f"not within {timeout_s} s; last seen {self.status()}\n{self.log()}")

    def ask(self, pixels: Sequence[int] = (8,) * 64) -> tuple[int, dict[str, object]]:
        """One request, of a whole number of images: the status and the reply."""
        shape = [len(pixels) // 64, 1, 8, 8]
        tensor = {"name": "image", "shape": shape, "datatype": "UINT8", "data": list(pixels)}
        connection = UnixConnection(str(self.directory / "tidegate.sock"), 30)
        connection.request("POST", "/v2/models/digits/infer", json.dumps({"inputs": [tensor]}))
        response = connection.getresponse()
        reply: dict[str, object] = json.loads(response.read())
        connection.close()
        return response.status, reply

    def kill_worker(self) -> int:
        """SIGKILL for the worker; the pid it had."""
        pid = self.status().worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def log(self) -> str:
        """What supervisor and worker wrote."""
        return self._log.read_text() if self._log.exists() else ""


class Load:
    """The demo's client in a thread, over the Unix socket; use as a context manager."""

    def __init__(self, agent: AgentProcess, rate_hz: float = 40.0) -> None:
        bundle = open_bundle(BUNDLE)
        samples = bundle.samples()
        self._client = LoadClient(bundle.model, bundle.input.name, agent.directory / "tidegate.sock", None)
        until = time.monotonic() + 120
        self._thread = threading.Thread(
            target=self._client.run, args=(samples.raw, samples.labels, rate_hz, until), daemon=True
        )

    @property
    def summary(self) -> LoadSummary:
        """The counts so far."""
        return replace(self._client.summary)

    def wait_served(self, more: int, timeout_s: float = 60.0) -> None:
        """Return when this many more requests have been served."""
        goal = self._client.summary.served + more
        deadline = time.monotonic() + timeout_s
        while self._client.summary.served < goal:
            assert time.monotonic() < deadline, f"served {self.summary}"
            time.sleep(0.02)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stopping = True
        self._thread.join(60)
