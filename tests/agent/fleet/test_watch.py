"""The witness counts what it sees, and says when it could see nothing."""

import json

import pytest
from paho.mqtt import publish

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.listener import BrokerError
from tidegate.fleet.watch import Watch
from tidegate.telemetry.broker import Broker

pytestmark = pytest.mark.broker


def send(broker: LocalBroker, kind: str, payload: str) -> None:
    publish.single(f"tidegate/cam-1/{kind}", payload, qos=1, hostname="127.0.0.1", port=broker.port)


def test_lost_doubled_and_unnumbered_are_counted(broker: LocalBroker) -> None:
    with Watch(broker.address, "cam-1") as watch:
        for kind, seq in (("telemetry", 1), ("event", 2), ("telemetry", 2), ("telemetry", 4)):
            send(broker, kind, json.dumps({"seq": seq}))
        send(broker, "event", "no json")
        send(broker, "event", json.dumps({"seq": 5}))
        assert watch.wait_for({5}, 20)
        assert watch.seen == {1, 2, 4, 5}
        assert watch.duplicates == {2: 2}
        assert watch.lost(range(1, 6)) == {3}
        assert watch.unnumbered == 1
        assert not watch.wait_for({3}, 0.1)


def test_messages_sent_while_the_witness_was_cut_off_are_seen(broker: LocalBroker) -> None:
    with Watch(broker.address, "cam-1") as watch:
        send(broker, "telemetry", json.dumps({"seq": 1}))
        # Once it has passed on a message, the broker has saved the subscription that came before it.
        assert watch.wait_for({1}, 20)
        broker.restart()
        send(broker, "telemetry", json.dumps({"seq": 2}))
        assert watch.wait_for({2}, 20)


def test_a_witness_that_sees_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.fleet.listener._ANSWER_S", 0.5)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        Watch(Broker("127.0.0.1", 1), "cam-1").start()
