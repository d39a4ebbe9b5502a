"""The broker of one's own: found, started, killed, and the same one after a restart."""

import socket
from pathlib import Path

import pytest
from paho.mqtt import publish, subscribe

from tidegate.fleet.broker import LocalBroker, LocalBrokerError

pytestmark = pytest.mark.broker


def test_retained_messages_survive_a_kill(broker: LocalBroker) -> None:
    port = broker.port
    publish.single("kept", "yes", qos=1, retain=True, hostname="127.0.0.1", port=port)
    # Saved at the broker's next turn; a second client's visit is one.
    publish.single("other", "x", qos=1, hostname="127.0.0.1", port=port)
    broker.restart()
    assert broker.port == port
    message = subscribe.simple("kept", hostname="127.0.0.1", port=port)
    assert not isinstance(message, list)
    assert message.payload == b"yes"


def test_stop_ends_it_and_cleans_up(mosquitto: None) -> None:
    broker = LocalBroker()
    broker.start()
    directory = broker._directory
    broker.stop()
    assert not directory.exists()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", broker.port), timeout=1)


def test_a_given_directory_is_kept(mosquitto: None, tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "broker"):
        pass
    assert (tmp_path / "broker" / "mosquitto.db").exists()


def test_bad_settings_are_told_in_its_own_words(mosquitto: None) -> None:
    broker = LocalBroker(settings=("no_such_setting true",))
    with pytest.raises(LocalBrokerError, match="no_such_setting"):
        broker.start()
    broker.stop()


def test_missing_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.fleet.broker.find_mosquitto", lambda: None)
    broker = LocalBroker()
    with pytest.raises(LocalBrokerError, match="install"):
        broker.start()
    broker.stop()
