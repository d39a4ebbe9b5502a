"""`tidegate bench mqtt-hostile`: thousands of spoiled messages on every topic that an agent subscribes to.

First the agent is left in peace for a while, so that it is seen what the machine itself makes late; then messages
come at a pace at which each is judged, then as a flood. Lateness is what the agent itself measured of its control
loop in the minute before each look.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import paho.mqtt.client as mqtt
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidegate.fleet.broker import LocalBroker
from tidegate.supervisor.status.socket import StatusError, fetch_status
from tidegate.supervisor.status.status import Status
from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.footprint.agent import Started, configure, started
from tidegate_bench.footprint.sample import sample
from tidegate_bench.mqtt.hostile_payloads import GROUP, Hostile, beyond, good_policy, hostile
from tidegate_bench.mqtt.pushed_device import OPERATOR, policy
from tidegate_bench.progress import Progress

DEVICE = "hostile"
SEED = 17
LATE_S = 0.1
GROWS_MB = 2.0
LOOK_S = 5.0
SETTLE_S = 15.0
"""What waits for a topic's pause to end is looked at within this."""
MOST_PAYLOADS = 10_000
BROKER_S = 180.0
"""How long the broker may take for a flood that its sender has to queue."""


@dataclass(frozen=True, slots=True)
class Size:
    """Seconds of peace, messages at a pace and in a flood, and their rates."""

    calm_s: float
    paced: int
    flood: int
    paced_hz: float = 40.0
    """Three or four a second on each topic: a push pauses its topic for a quarter of a second at least."""
    flood_hz: float = 1_000.0


FULL, QUICK = Size(calm_s=60.0, paced=10_400, flood=20_000), Size(calm_s=5.0, paced=390, flood=2_000)


@dataclass(slots=True)
class Phase:
    """What was seen while something went on."""

    name: str
    sent: int = 0
    latest_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def run(*, quick: bool, progress: Progress) -> Figures:
    """Start an agent with a broker and be hostile to it. Raises BrokenError, LocalBrokerError."""
    if sys.platform != "linux":
        raise BrokenError(f"mqtt-hostile reads /proc of Linux; this is {sys.platform}")
    size = QUICK if quick else FULL
    with TemporaryDirectory(prefix="tidegate-hostile-") as made, ExitStack() as held:
        directory = Path(made)
        broker = held.enter_context(LocalBroker(directory / "broker"))
        agent = held.enter_context(started(_configured(directory, broker)))
        sender = held.enter_context(_Sender(broker))
        watching = _Watching(agent, directory / "state" / "status.sock")
        watching.until(lambda status: status.telemetry.link == "online", 30.0)
        messages = hostile(DEVICE, Random(SEED))  # noqa: S311 - no secret
        calm = watching.during(Phase("calm"), size.calm_s)
        progress(f"{size.paced} messages at {size.paced_hz:g} a second")
        paced = watching.while_sending(Phase("paced"), sender, islice(messages, size.paced), size.paced_hz)
        progress(f"{size.flood} messages at {size.flood_hz:g} a second, and retained ones of 2 MiB")
        for each in beyond(DEVICE):
            sender.send(each)
        flood = watching.while_sending(Phase("flood"), sender, islice(messages, size.flood), size.flood_hz)
        sender.wait()
        watching.during(flood, SETTLE_S)
        after = watching.until(lambda status: unaccounted(status) == 0, SETTLE_S) or watching.status()
        version = after.policy.version + 10
        sender.send(good_policy(DEVICE, version))
        accepted = watching.until(lambda status: status.policy.version == version, 60.0) is not None
        return figures_of([calm, paced, flood], after, watching.ended, accepted=accepted)


def _configured(directory: Path, broker: LocalBroker) -> Path:
    config = configure(directory, broker)
    local = directory / "policy.yaml"
    local.write_text(policy(1))
    key = {"name": "operator", "key": OPERATOR.public.text, "roles": ["policy", "bundle", "key_rotation"]}
    settings = yaml.safe_load(config.read_text())
    settings |= {
        "device": DEVICE,
        "groups": [GROUP],
        "policy": str(local),
        "trusted_keys": [key],
        "remote_hold": True,
        "home_assistant": True,
    }
    config.write_text(yaml.safe_dump(settings))
    return config


class _Sender:
    """Whoever may publish at the broker."""

    def __init__(self, broker: LocalBroker) -> None:
        self._address = broker.address
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.max_queued_messages_set(0)
        self._last: mqtt.MQTTMessageInfo | None = None

    def send(self, message: Hostile) -> None:
        """Publish it."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        if message.expiry_s is not None:
            properties.MessageExpiryInterval = message.expiry_s
        self._last = self._client.publish(
            message.topic, message.payload, qos=1, retain=message.retain, properties=properties
        )

    def wait(self) -> None:
        """Return once the broker has all of it. Raises BrokenError."""
        if self._last is not None:
            self._last.wait_for_publish(BROKER_S)
            if not self._last.is_published():
                raise BrokenError(f"the broker did not take all messages within {BROKER_S:g} s")

    def __enter__(self) -> "_Sender":
        self._client.connect(self._address.host, self._address.port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class _Watching:
    """Asks the agent how it is; `ended` are the moments at which it was not the one that began."""

    def __init__(self, agent: Started, socket: Path) -> None:
        self.ended: list[str] = []
        self._agent = agent
        self._socket = socket
        self._looked_at = 0.0

    def status(self) -> Status:
        """Raises BrokenError."""
        try:
            return asyncio.run(fetch_status(self._socket))
        except StatusError as error:
            raise BrokenError(f"the agent does not answer: {error}") from None

    def until(self, holds: Callable[[Status], bool], within_s: float) -> Status | None:
        """The first status of which it holds; None where that takes longer."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if holds(status := self.status()):
                return status
            time.sleep(0.2)
        return None

    def during(self, phase: Phase, seconds: float) -> Phase:
        """Look at it now and then for so long, and at the end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._look(phase)
            time.sleep(0.1)
        self._look(phase, now=True)
        return phase

    def while_sending(self, phase: Phase, sender: _Sender, messages: Iterator[Hostile], rate_hz: float) -> Phase:
        """Send at this rate, and look at it now and then."""
        began_at = time.monotonic()
        for message in messages:
            if (early_s := phase.sent / rate_hz - (time.monotonic() - began_at)) > 0:
                time.sleep(early_s)
            sender.send(message)
            phase.sent += 1
            self._look(phase)
        self._look(phase, now=True)
        return phase

    def _look(self, phase: Phase, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._looked_at < LOOK_S:
            return
        self._looked_at = time.monotonic()
        status = self.status()
        if status.latest_step_s is not None:
            phase.latest_s.append(status.latest_step_s)
        rss = sample(self._agent.supervisor_pid).rss_bytes
        if rss is not None:
            phase.rss_mb.append(rss / 1e6)
        if (status.worker.pid, status.worker.restarts) != (self._agent.worker_pid, 0):
            self.ended.append(f"{phase.name}: worker {status.worker.pid}, {status.worker.restarts} restarts")


def figures_of(phases: Sequence[Phase], after: Status, ended: Sequence[str], *, accepted: bool) -> Figures:
    """What is shown of it; `after` is the status once all was judged."""
    judged, refused = after.heard.get("push judged", 0), sum(after.refusals.values())
    rows: list[Mapping[str, Cell]] = [
        {
            "phase": each.name,
            "messages": each.sent,
            "late ms": None if not each.latest_s else 1000 * max(each.latest_s),
            "rss mb": None if not each.rss_mb else median(each.rss_mb),
        }
        for each in phases
    ]
    rows += [{"heard": name, "times": count} for name, count in after.heard.items()]
    rows += [{"push refused": name, "times": count} for name, count in after.refusals.items()]
    rows.append({"pushes judged": judged, "refused": refused, "taken or repeated": judged - refused})
    rows += [{"worker": told} for told in ended]
    hostile_late = [late_s for each in phases if each.sent for late_s in each.latest_s]
    return Figures(
        "mqtt-hostile",
        rows,
        [
            Goal("messages", MOST_PAYLOADS, sum(each.sent for each in phases)),
            Goal("messages that the agent received", MOST_PAYLOADS, after.received),
            Goal("of them without an account", 0, unaccounted(after), at_least=False),
            Goal("a control step late by, s", LATE_S, max(hostile_late, default=None), at_least=False),
            Goal("supervisor's RSS grows by, MB", GROWS_MB, grows_mb(phases), at_least=False),
            Goal("workers that ended", 0, len(ended), at_least=False),
            Goal("a good policy accepted afterwards", 1, int(accepted)),
        ],
    )


def unaccounted(status: Status) -> int:
    """How many of the messages that were received are not, or not yet, in what became of them."""
    return abs(status.received - sum(count for name, count in status.heard.items() if name != "push put off"))


def grows_mb(phases: Sequence[Phase]) -> float | None:
    """From the second third of all that was seen under fire to the last; None where too little was."""
    seen = [rss_mb for each in phases if each.sent for rss_mb in each.rss_mb]
    third = len(seen) // 3
    if third == 0:
        return None
    return max(0.0, median(seen[-third:]) - median(seen[third : 2 * third]))
