"""Messages that are too large end as refused, in either direction; none of them becomes a loop."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt import publish

from tidegate.fleet.broker import LocalBroker
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.payloads.input import InputMessage
from tidegate.telemetry.spool import Spool

pytestmark = pytest.mark.broker

DEVICE = Device("cam-1", (), session=1)
BOUND_S = 30.0
PUBLISH = 3
TWO_MIB = b"x" * (2 << 20)


@contextmanager
def hanging_up_on(broker: LocalBroker, longest_bytes: int) -> Iterator[Broker]:
    """A broker that announces no limit, and hangs up without a word on a PUBLISH of more than `longest_bytes`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(client: socket.socket) -> None:
            with (
                suppress(OSError),
                socket.create_connection(("127.0.0.1", broker.port)) as upstream,
                client,
                client.makefile("rb") as packets,
            ):
                threading.Thread(target=pass_on, args=(upstream, client), daemon=True).start()
                while head := packets.read(1):
                    length, digits = 0, b""
                    while not digits or digits[-1] & 0x80:
                        digits += packets.read(1)
                        length |= (digits[-1] & 0x7F) << 7 * (len(digits) - 1)
                    if head[0] >> 4 == PUBLISH and length > longest_bytes:
                        break
                    upstream.sendall(head + digits + packets.read(length))
                client.shutdown(socket.SHUT_RDWR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Broker("127.0.0.1", server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(65536):
            target.sendall(received)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {BOUND_S:.0f} s for: {what}"
        time.sleep(0.02)


def test_rows_that_a_broker_hangs_up_on_are_refused_and_the_others_arrive(
    broker: LocalBroker, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool.db", 10**7, 10**6)
    for length in (50, 3000, 60, 4000, 70):
        spool.put(DEVICE.topics.telemetry, {"text": "x" * length}, time.time())
    with hanging_up_on(broker, 1000) as liar:
        link = Link(liar, DEVICE, spool, on_policy=lambda *_: None)
        link.backoff = Backoff(base_s=0.01, cap_s=0.05)
        link.report({"large": "x" * 2000})
        link.start()
        until(lambda: spool.after(0, 1) == (), "an end of every row")
        until(lambda: link.counters.state.state == "online", "a connection")
        connects = link.counters.connects
        time.sleep(0.5)
        assert link.counters.connects == connects, "it stays connected"
        link.report({"small": True})
        until(lambda: link.counters.in_flight == 0, "the smaller document")
        assert link.stop(0.5)
    assert spool.counters is not None
    assert (spool.counters.acknowledged, spool.counters.dropped) == (3, {"refused": 2})


def test_no_row_is_lost_while_two_clients_of_one_name_end_each_other(broker: LocalBroker, tmp_path: Path) -> None:
    """A broker that hangs up on the older one says as little as one that hangs up on a row."""
    spools = [Spool(tmp_path / f"{name}.db", 10**7, 10**6) for name in "ab"]
    links = [Link(broker.address, DEVICE, spool, on_policy=lambda *_: None) for spool in spools]
    for link in links:
        link.backoff = Backoff(base_s=0.01, cap_s=0.05)
        link.start()
    for length in range(0, 4000, 100):
        for spool, link in zip(spools, links, strict=True):
            spool.put(DEVICE.topics.telemetry, {"text": "x" * length}, time.time())
            link.wake()
    until(lambda: sum(link.counters.connects for link in links) > 20, "takeovers")
    for link in links:
        link.stop(0.0)
    assert [spool.counters.dropped for spool in spools if spool.counters is not None] == [{}, {}]


@pytest.mark.parametrize("broker_keeps_to_our_limit", [True, False])
def test_two_mib_retained_for_us_are_handed_over_once_or_never(
    broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker_keeps_to_our_limit: bool
) -> None:
    if not broker_keeps_to_our_limit:
        # What it does with our limit is the same as if it had been told another.
        monkeypatch.setattr("tidegate.telemetry.link.connection.MAX_INCOMING_BYTES", 8 << 20)
    topics = (DEVICE.topics.policy, f"tidegate/{DEVICE.id}/input/x")
    for topic in topics:
        publish.single(topic, TWO_MIB, qos=1, retain=True, hostname="127.0.0.1", port=broker.port)
    policies: list[int] = []
    inputs: list[InputMessage] = []
    spool = Spool(tmp_path / "spool.db", 10**7, 10**6)
    link = Link(
        broker.address,
        DEVICE,
        spool,
        on_policy=lambda _, payload: policies.append(len(payload)),
        on_input=inputs.append,
    )
    link.start()
    try:

        def passed() -> bool:
            # Not retained: one that comes before the subscription is nobody's.
            publish.single(topics[1], b"7", qos=1, hostname="127.0.0.1", port=broker.port)
            return any(message.payload == b"7" for message in inputs)

        until(passed, "a number behind the large ones")
        if not broker_keeps_to_our_limit:
            until(lambda: bool(policies) and any(each.payload == TWO_MIB for each in inputs), "both large ones")
        time.sleep(1.0)
        large = [message.name for message in inputs if message.payload == TWO_MIB]
        assert (policies, large) == (([], []) if broker_keeps_to_our_limit else ([len(TWO_MIB)], ["x"]))
        assert link.counters.connects == 1
    finally:
        assert link.stop(0.5)
