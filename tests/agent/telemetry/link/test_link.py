"""The link against a real mosquitto: nothing lost, nothing doubled, deaths announced."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.watch import Watch
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.link import Link, LinkState
from tidegate.telemetry.link.outbox import WINDOW
from tidegate.telemetry.link.paho_client import make_client
from tidegate.telemetry.spool import Spool

pytestmark = pytest.mark.broker

DEVICE = Device("cam-1", ("barn",), session=7)
PATIENCE_S = 20.0


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db", 10**7, 10**6)
    yield spool
    spool.close()


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for: {what}"
        time.sleep(0.01)


@contextmanager
def linked(broker: Broker, spool: Spool, **more: Any) -> Iterator[Link]:
    link = Link(broker, DEVICE, spool, **({"on_policy": lambda _topic, _payload: None} | more))
    link.backoff = Backoff(base_s=0.05, cap_s=0.3)
    link.start()
    try:
        yield link
    finally:
        assert link.stop(0.5)


class Listener:
    """The last payload of every topic, and every payload of each in order. `subscribed` is set at each SUBACK."""

    def __init__(self, broker: Broker, *filters: str, qos: int = 1) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.subscribed = threading.Event()
        self._client = make_client(broker, f"listener-{uuid.uuid4().hex}")
        self._client.on_message = lambda _c, _d, m: self.messages.append((m.topic, bytes(m.payload), m.retain))
        self._client.on_connect = lambda client, *_: client.subscribe([(name, qos) for name in filters])
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self.subscribed.wait(PATIENCE_S)

    def last(self, topic: str) -> Any:
        payloads = [payload for name, payload, _ in self.messages if name == topic]
        return json.loads(payloads[-1]) if payloads else None

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1, retain=True).wait_for_publish(PATIENCE_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(broker: LocalBroker) -> Iterator[Listener]:
    listener = Listener(broker.address, "tidegate/cam-1/status", "tidegate/cam-1/reported")
    yield listener
    listener.close()


def put(spool: Spool, count: int) -> set[int]:
    seqs = {spool.put(DEVICE.topics.telemetry, {"watts": 1.0}, time.time()) for _ in range(count)}
    return {seq for seq in seqs if seq is not None}


def test_rows_arrive_once_and_leave_the_spool(broker: LocalBroker, spool: Spool) -> None:
    with Watch(broker.address, DEVICE.id) as watch:
        # Put while offline, the case in which paho's "no connection" tempts one to send twice.
        seqs = put(spool, 60)
        with linked(broker.address, spool) as link:
            assert watch.wait_for(seqs, PATIENCE_S)
            seqs |= put(spool, 60)
            link.wake()
            assert watch.wait_for(seqs, PATIENCE_S)
            until(lambda: spool.after(0, 1) == (), "every PUBACK")
            assert link.counters.published == 120
        assert watch.duplicates == {}
        assert watch.unnumbered == 0


def test_status_tells_birth_and_orderly_death(broker: LocalBroker, spool: Spool, listener: Listener) -> None:
    states: list[LinkState] = []
    with linked(broker.address, spool, on_state=states.append):
        until(lambda: listener.last(DEVICE.topics.status) is not None, "status")
        online = listener.last(DEVICE.topics.status)
        assert (online["state"], online["session"]) == ("online", 7)
    until(lambda: listener.last(DEVICE.topics.status)["state"] == "offline", "offline")
    offline = listener.last(DEVICE.topics.status)
    assert offline["session"] == 7
    assert offline["since"] >= online["since"]
    assert [state.state for state in states] == ["online", "offline", "stopped"]


def test_reported_is_retained_and_the_latest_wins(broker: LocalBroker, spool: Spool, listener: Listener) -> None:
    with linked(broker.address, spool) as link:
        for version in range(20):
            link.report({"version": version})
        until(lambda: listener.last(DEVICE.topics.reported) == {"version": 19}, "the last report")
        late = Listener(broker.address, DEVICE.topics.reported)
        until(lambda: late.messages != [], "the retained report")
        assert late.messages == [(DEVICE.topics.reported, b'{"version":19}', True)]
        late.close()


def test_unreachable_broker_costs_nothing_but_time(spool: Spool) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with linked(Broker("127.0.0.1", closed.getsockname()[1]), spool) as link:
            seqs = put(spool, 5)
            link.wake()
            until(lambda: "refused" in link.counters.state.reason, "the reason")
            assert {row.seq for row in spool.after(0, 10)} == seqs


def test_missing_ca_file_is_a_reason_not_a_crash(spool: Spool, tmp_path: Path) -> None:
    with linked(Broker("127.0.0.1", 1, tls_ca=tmp_path / "none.pem"), spool) as link:
        until(lambda: "No such file" in link.counters.state.reason, "the reason")


def test_broker_killed_under_load(mosquitto: None, spool: Spool) -> None:
    kills = 2
    # Without its window towards the witness, mosquitto passes a message on before it sends the PUBACK. With it,
    # what it had acknowledged and still queued would die with it, and this is a test of the sender.
    with (
        LocalBroker(settings=("max_inflight_messages 0",)) as broker,
        Watch(broker.address, DEVICE.id) as watch,
        linked(broker.address, spool) as link,
    ):
        # A witness that answers with PUBACKs meets the reset of a killed broker when it writes, and loses what had
        # arrived for it and was not read yet. One that never writes reads all of it.
        silent = Listener(broker.address, DEVICE.topics.telemetry, qos=0)

        def unseen() -> set[int]:
            return seqs - watch.seen - {json.loads(payload)["seq"] for _, payload, _ in silent.messages}

        seqs = put(spool, 1)
        link.wake()
        assert watch.wait_for(seqs, PATIENCE_S)
        for _ in range(kills):
            published = link.counters.published
            seqs |= put(spool, 40)
            link.wake()
            until(lambda before=published: link.counters.published > before, "the load to flow")  # type: ignore[misc]
            silent.subscribed.clear()
            broker.kill()
            seqs |= put(spool, 20)
            broker.start()
            link.wake()
            until(lambda: not unseen(), "every row to reach a witness")
            assert silent.subscribed.wait(PATIENCE_S)
        silent.close()
        until(lambda: spool.after(0, 1) == (), "every PUBACK")
        assert link.counters.connects == kills + 1
        # What the dead broker had passed on without its PUBACK reaching us goes again, as MQTT demands of QoS 1:
        # at most one window for each kill, and never anything else.
        assert sum(times - 1 for times in watch.duplicates.values()) <= kills * WINDOW


def test_receive_maximum_of_a_real_broker_is_kept(mosquitto: None, spool: Spool) -> None:
    with (
        LocalBroker(settings=("max_inflight_messages 2",)) as broker,
        Watch(broker.address, DEVICE.id) as watch,
        linked(broker.address, spool) as link,
    ):
        seqs = put(spool, 1)
        link.wake()
        assert watch.wait_for(seqs, PATIENCE_S)
        until(lambda: link.counters.in_flight == 0, "every PUBACK")
        broker.process.send_signal(signal.SIGSTOP)
        try:
            seqs |= put(spool, 10)
            link.wake()
            until(lambda: link.counters.in_flight > 0, "rows on their way")
            time.sleep(0.2)
            assert link.counters.in_flight == 2
        finally:
            broker.process.send_signal(signal.SIGCONT)
        assert watch.wait_for(seqs, PATIENCE_S)
        assert watch.duplicates == {}


def start_device(port: int, directory: Path, rows: int) -> subprocess.Popen[str]:
    program = Path(__file__).with_name("linked_device.py")
    return subprocess.Popen(
        [sys.executable, str(program), str(port), str(directory), str(rows)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill(child: subprocess.Popen[str]) -> set[int]:
    """SIGKILL; the seqs it still told."""
    child.kill()
    child.wait()
    assert child.stdout is not None
    with child.stdout as rest:
        return {int(line) for line in rest.read().splitlines(keepends=True) if line.endswith("\n")}


def test_device_killed_under_load(broker: LocalBroker, tmp_path: Path, listener: Listener) -> None:
    def status_is(state: str, session: int) -> bool:
        status = listener.last(DEVICE.topics.status)
        return status is not None and (status["state"], status["session"]) == (state, session)

    with Watch(broker.address, DEVICE.id) as watch:
        first = start_device(broker.port, tmp_path, rows=10_000)
        try:
            until(lambda: status_is("online", 1), "birth of session 1")
            assert first.stdout is not None
            told = {int(first.stdout.readline()) for _ in range(50)}
            # A broker that stands still leaves a full window without answers and the rest waiting.
            broker.process.send_signal(signal.SIGSTOP)
            told |= {int(first.stdout.readline()) for _ in range(50)}
        finally:
            told |= kill(first)
            broker.process.send_signal(signal.SIGCONT)
        until(lambda: status_is("offline", 1), "the Will of session 1")
        assert listener.last(DEVICE.topics.status)["since"] is None

        second = start_device(broker.port, tmp_path, rows=0)
        try:
            assert watch.wait_for(told, PATIENCE_S), f"lost: {sorted(watch.lost(told))}"
            until(lambda: status_is("online", 2), "birth of session 2")
        finally:
            kill(second)
        until(lambda: status_is("offline", 2), "the Will of session 2")
        # Sent before the kill, or acknowledged and not yet deleted, which is done a window at a time.
        assert len(watch.duplicates) <= 2 * WINDOW


def test_policy_is_acknowledged_only_after_it_was_stored(mosquitto: None, spool: Spool) -> None:
    received: list[tuple[str, bytes]] = []
    disk_works = threading.Event()

    def store(topic: str, payload: bytes) -> None:
        received.append((topic, payload))
        if not disk_works.is_set():
            raise OSError(28, "No space left on device")

    with LocalBroker(settings=("log_type all",)) as broker, linked(broker.address, spool, on_policy=store) as link:
        operator = Listener(broker.address, DEVICE.topics.status)
        until(lambda: link.counters.connects == 1, "connection")
        operator.publish(DEVICE.topics.policy, b"policy 1")
        until(lambda: received != [], "first delivery")
        acknowledged = "Received PUBACK from tidegate-cam-1"
        # The broker logs each packet; a later one of the same connection shows that the PUBACK is not on its way.
        link.report({"after": "the policy"})
        until(lambda: "tidegate/cam-1/reported" in broker.log(), "a later packet")
        assert acknowledged not in broker.log()

        disk_works.set()
        until(lambda: acknowledged in broker.log(), "PUBACK after the retry")
        operator.publish("tidegate/group/barn/policy", b"policy 2")
        operator.publish("tidegate/fleet/policy", b"policy 3")
        until(lambda: {b"policy 2", b"policy 3"} <= {payload for _, payload in received}, "group and fleet")
        operator.close()


def test_two_devices_of_one_name_end_each_other_without_a_loss(broker: LocalBroker, tmp_path: Path) -> None:
    first, second = (Spool(tmp_path / f"{name}.db", 10**7, 10**6) for name in "ab")
    with linked(broker.address, first) as one:
        until(lambda: one.counters.connects == 1, "first connection")
        with linked(broker.address, second) as two:
            until(lambda: one.counters.connects + two.counters.connects > 2, "a takeover")
            put(first, 3)
            one.wake()
        until(lambda: first.after(0, 1) == (), "every PUBACK")


@pytest.mark.parametrize(
    "setting",
    [
        "message_size_limit 300",  # PUBACK with "implementation specific error"
        "max_packet_size 400",  # announced in CONNACK
    ],
)
def test_a_row_too_large_for_the_broker_is_counted_and_the_rest_arrives(
    mosquitto: None, spool: Spool, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate.telemetry.link.outbox.MAX_REFUSALS", 2)
    with LocalBroker(settings=(setting,)) as small, Watch(small.address, DEVICE.id) as watch:
        before = put(spool, 3)
        spool.put(DEVICE.topics.telemetry, {"text": "x" * 500}, time.time())
        after = put(spool, 3)
        with linked(small.address, spool) as link:
            assert watch.wait_for(before | after, PATIENCE_S)
            until(lambda: spool.after(0, 1) == (), "an end of the large row")
            assert link.counters.published == 6
    assert spool.counters is not None
    assert sum(spool.counters.dropped.values()) == 1


def test_not_authorized_keeps_the_rows_and_says_so(
    mosquitto: None, spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access = tmp_path / "acl"
    access.write_text("topic read #\ntopic write tidegate/cam-1/event\n")
    with (
        LocalBroker(settings=(f"acl_file {access}",)) as strict,
        Watch(strict.address, DEVICE.id) as watch,
        linked(strict.address, spool) as link,
    ):
        kept = put(spool, 3)
        passed = spool.put(DEVICE.topics.event, {"what": "switch"}, time.time())
        assert passed is not None
        link.wake()
        assert watch.wait_for({passed}, PATIENCE_S)
        until(lambda: {row.seq for row in spool.after(0, 10)} == kept, "the other rows kept")
    assert "Not authorized" in caplog.text
