"""An agent as `tidegate run` starts it, with what an installation writes into agent.yaml, and its READY."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from tidegate import child
from tidegate.fleet.broker import LocalBroker
from tidegate.paths import profiles_directory
from tidegate_bench.broken import BrokenError

READY_S = 180.0
END_S = 30.0
ENDING_S = 2.0


@dataclass(frozen=True, slots=True)
class Started:
    """A ready agent; `cpu_s` is what it and its children took until then, `wall_s` how long that was."""

    supervisor_pid: int
    worker_pid: int
    cpu_s: float
    wall_s: float


def configure(directory: Path, broker: LocalBroker | None) -> Path:
    """Writes agent.yaml with every default but the places, and with onnx; gives its path."""
    profiles = profiles_directory()
    document: dict[str, object] = {
        "device": "footprint",
        "bundle": str(profiles / "bundles/digits"),
        "policy": str(profiles / "policies/always-plugged.yaml"),
        "state_dir": str(directory / "state"),
        "listen": {"unix": str(directory / "tidegate.sock")},
        "worker": {"engine": "onnx"},
    }
    if broker is not None:
        document["broker"] = {"host": "127.0.0.1", "port": broker.port}
    config = directory / "agent.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


@contextmanager
def started(config: Path) -> Iterator[Started]:
    """Start an agent and wait until it says READY; it is ended afterwards.

    Raises BrokenError, also where it ends by itself and is missed meanwhile.
    """
    directory = config.parent
    log, notify = directory / "agent.log", directory / "notify"
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening, log.open("wb") as written:
        listening.bind(str(notify))
        environment = child.environment(NOTIFY_SOCKET=str(notify), CACHE_DIRECTORY=str(directory / "cache"))
        began_s = time.monotonic()
        agent = subprocess.Popen(
            child.command("tidegate.cli.entry", "run", "--config", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env=environment,
        )
        try:
            _wait_ready(listening, agent, log)
            wall_s = time.monotonic() - began_s
            worker = _worker(agent.pid)
            yield Started(agent.pid, worker.pid, _cpu_s(psutil.Process(agent.pid), worker), wall_s)
        except (OSError, psutil.NoSuchProcess) as error:
            try:
                code = agent.wait(ENDING_S)  # its memory is gone before it is
            except subprocess.TimeoutExpired:
                raise error from None
            raise BrokenError(f"the agent ended with {code}: {log.read_text()[-2000:]}") from error
        finally:
            agent.terminate()
            try:
                agent.wait(END_S)
            except subprocess.TimeoutExpired:
                agent.kill()
                agent.wait()


def _wait_ready(listening: socket.socket, agent: "subprocess.Popen[bytes]", log: Path) -> None:
    listening.settimeout(1.0)
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if agent.poll() is not None:
            raise BrokenError(f"the agent ended with {agent.returncode}: {log.read_text()[-2000:]}")
        try:
            if b"READY=1" in listening.recv(4096).split(b"\n"):
                return
        except TimeoutError:
            continue
    raise BrokenError(f"the agent was not ready after {READY_S:g} s: {log.read_text()[-2000:]}")


def _worker(supervisor_pid: int) -> psutil.Process:
    workers = psutil.Process(supervisor_pid).children()
    if len(workers) != 1:
        raise BrokenError(f"the agent has {len(workers)} child processes; expected one, the worker")
    return workers[0]


def _cpu_s(*processes: psutil.Process) -> float:
    """Of these processes, and of those children that have ended."""
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system + each.children_user + each.children_system for each in times))
