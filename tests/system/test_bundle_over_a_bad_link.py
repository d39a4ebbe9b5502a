"""Twenty megabytes over a link that keeps breaking, to an agent that keeps being killed: once, bit for bit."""

import random
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from agent_process import AgentProcess
from edited_bundle import SHIPPED, edited_bundle, vouch
from here import tidegate_here
from safetensors.numpy import load_file, save_file

from tidegate import child
from tidegate.fleet.broker import LocalBroker
from tidegate.trust.key_file import read_public

StartAgent = Callable[..., AgentProcess]

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(1500)]

MEGABYTES = 20
KILLS = 50
INCOMPRESSIBLE = 0.4
"""At least so much of it has to travel: its bytes take 17 values."""


def large(directory: Path) -> Path:
    """The shipped bundle with twenty megabytes of report-only samples."""
    shutil.copytree(SHIPPED, directory)
    file = directory / "samples.safetensors"
    samples = load_file(file)
    count = MEGABYTES * 1_000_000 // 64
    noise = np.random.default_rng(1)
    raw = noise.integers(0, 17, (count, 1, 8, 8)).astype(np.uint8)
    tensors = {name: raw if each.ndim > 1 else noise.integers(0, 10, count) for name, each in samples.items()}
    save_file({name: each.astype(samples[name].dtype) for name, each in tensors.items()}, file)
    vouch(directory, "samples.safetensors")
    return directory


class BadLink:
    """Passes connections on to the broker, slowly towards the device, and every few seconds cuts what there is."""

    def __init__(self, broker_port: int, bytes_per_s: float, every_s: float) -> None:
        self.cuts = 0
        self.passed = 0
        self._broker_port = broker_port
        self._bytes_per_s = bytes_per_s
        self._every_s = every_s
        self._since = time.monotonic()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                device, _ = self._listening.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                device.close()
                continue
            since_cut_s = (time.monotonic() - self._since) % self._every_s
            until = time.monotonic() + self._every_s - since_cut_s
            threading.Thread(target=self._pass_on, args=(device, broker, until), daemon=True).start()

    def _pass_on(self, device: socket.socket, broker: socket.socket, until: float) -> None:
        with device, broker, suppress(OSError):
            while (left_s := until - time.monotonic()) > 0:
                ready, _, _ = select.select([device, broker], [], [], left_s)
                for source in ready:
                    content = source.recv(16_384)
                    if not content:
                        return
                    (broker if source is device else device).sendall(content)
                    if source is broker:
                        self.passed += len(content)
                        time.sleep(len(content) / self._bytes_per_s)
            self.cuts += 1

    def close(self) -> None:
        self._listening.close()


def test_it_arrives_once_and_an_edit_of_the_ladder_costs_a_hundredth(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tidegate_here("key", "new", "models").returncode == 0
    key = {"name": "models", "key": read_public(Path("models.pub")).text, "roles": ["bundle"]}
    link = BadLink(broker.port, bytes_per_s=250_000.0, every_s=10.0)
    agent = start_agent(link, trusted_keys=[key])
    bundle = large(tmp_path / "large")
    size = sum(file.stat().st_size for file in bundle.iterdir())
    done = threading.Event()
    kills = 0

    def push(version: int, directory: Path) -> int:
        """Again and again until it is said what became of it, as an operator would."""
        where = ("--device", agent.device, "--key", "models.key", "--broker", f"127.0.0.1:{broker.port}")
        command = ("tidegate.cli.main", "bundle", "push", str(directory), "--version", str(version), *where)
        while True:
            ended = child_run([*command, "--timeout", "60"])
            if ended in {0, 65}:
                return ended

    chance = random.Random(3)
    pushing = threading.Thread(target=lambda: (push(5, bundle), done.set()), daemon=True)
    pushing.start()
    # By bytes and not by the clock: it can't have arrived, and be on trial, before the last kill. A trial that is
    # cut off is not taken again: that is another test's.
    while kills < KILLS and not done.is_set():
        _wait_until(link, chance.uniform(kills, kills + 1) / KILLS * INCOMPRESSIBLE * size)
        agent.kill()
        agent.start(wait=False)
        kills += 1
        if kills % 10 == 0:
            broker.restart()
    agent.wait_until(lambda status: status.decision is not None, 90)
    pushing.join(900)
    assert done.is_set()
    status = agent.status()
    assert status.bundle is not None
    assert (status.bundle.origin, status.bundle.version) == ("pushed", 5), (kills, link.cuts, agent.log()[-3000:])
    for file in bundle.iterdir():
        assert (Path(status.bundle.path) / file.name).read_bytes() == file.read_bytes()
    assert kills == KILLS, "it is long enough under way"
    assert link.cuts > 0
    # What was on its way at a cut is sent again; never all of it.
    assert link.passed < 3 * size, (link.passed, size)
    before = link.passed
    edited = tmp_path / "edited"
    shutil.copytree(bundle, edited)
    donor = edited_bundle(tmp_path / "donor", 3.25)
    shutil.copy(donor / "ladder.json", edited / "ladder.json")
    vouch(edited, "ladder.json")
    assert push(6, edited) == 0
    assert 0 < link.passed - before < size / 100, "all that went to the device, telemetry's answers included"
    link.close()


def _wait_until(link: BadLink, passed: float) -> None:
    until = time.monotonic() + 60
    while link.passed < passed:
        assert time.monotonic() < until, (link.passed, passed, link.cuts)
        time.sleep(0.01)


def child_run(arguments: list[str]) -> int:
    """A command in a process of its own; its exit code."""
    command, environment = child.command(*arguments), child.environment()
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode
