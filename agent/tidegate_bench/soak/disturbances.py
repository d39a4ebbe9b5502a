"""What is done to an agent: switches by an input, pushes, a killed worker, scarce memory, a stop of the whole.

The system's clock is not moved: everything else on the machine lives by it. Jumps of clocks are tested with faked
ones (tests/agent/supervisor/control/test_suspension.py); a stopped agent has the same gap in all its timers.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping

import paho.mqtt.client as mqtt
import psutil
from paho.mqtt.enums import CallbackAPIVersion

from tidegate import child
from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.payloads.envelope import Target, seal
from tidegate.telemetry.topics import DeviceTopics

POLICY = """\
tidegate: 1
name: soak
version: {version}
max_accuracy_loss: 5 %
default: {{use: full}}
dwell: {{down: 0 s, up: 0 s}}
rules:
  - name: asked to
    when: {{input: {{name: switch, above: 0.5, until: 0.4}}}}
    use: cheapest
"""
"""An input switches it, so that each switch goes the whole way: MQTT, decision, canaries, worker."""
STOPPED_S = 2.0
PRESSURE_MB = 256
PRESSURE_S = 3.0


class Operator:
    """Whoever publishes to the device; use as a context manager."""

    def __init__(self, broker: LocalBroker, device: str) -> None:
        self._device = device
        self._address = broker.address
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._version = 1
        self._high = False

    def switch(self) -> None:
        """Have it go to the other point."""
        self._high = not self._high
        topic = DeviceTopics(self._device).inputs.replace("+", "switch")
        self._client.publish(topic, str(float(self._high)), qos=0)

    def push(self) -> None:
        """Push the same policy under the next version."""
        self._version += 1
        target = Target("device", self._device)
        envelope = seal(POLICY.format(version=self._version), self._version, target).to_json()
        self._client.publish(target.topic, envelope, qos=1, retain=True)

    def __enter__(self) -> "Operator":
        self._client.connect(self._address.host, self._address.port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def worker_of(supervisor_pid: int) -> int | None:
    """The worker there is at the moment."""
    with contextlib.suppress(psutil.Error):
        for each in psutil.Process(supervisor_pid).children():
            if each.status() != psutil.STATUS_ZOMBIE:
                return each.pid
    return None


def kill_worker(supervisor_pid: int) -> None:
    """As the kernel would, without a word."""
    if (pid := worker_of(supervisor_pid)) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def fill_memory() -> None:
    """Take memory for a moment and give it back."""
    command = child.command("tidegate_bench.soak.memory_filler", str(PRESSURE_MB), str(PRESSURE_S))
    subprocess.run(command, check=False, timeout=60, env=child.environment())


def stop_for_a_while(supervisor_pid: int) -> None:
    """As a suspension looks from inside: all timers of the supervisor stand still."""
    os.kill(supervisor_pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    os.kill(supervisor_pid, signal.SIGCONT)


def disturbances(operator: Operator, supervisor_pid: int) -> Mapping[str, Callable[[], None]]:
    """All of them by name, in the order in which they are done."""
    return {
        "push": operator.push,
        "worker killed": lambda: kill_worker(supervisor_pid),
        "memory filled": fill_memory,
        "stopped": lambda: stop_for_a_while(supervisor_pid),
    }
