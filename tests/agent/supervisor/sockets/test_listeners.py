"""Listening sockets: stale files go, live ones and other files stay, and the error says what to change."""

import socket
import threading
import time
from pathlib import Path

import pytest

from tidegate.supervisor.sockets import listeners
from tidegate.supervisor.sockets.listeners import ListenerError, open_listeners


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "ORPHAN_ENDS_S", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "tidegate.sock"


def test_both_addresses_take_connections_before_anybody_accepts(path: Path) -> None:
    opened = open_listeners(path, 0)
    assert path.stat().st_mode & 0o777 == 0o660
    with socket.socket(socket.AF_UNIX) as unix, socket.socket() as tcp:
        unix.connect(str(path))
        assert opened.tcp_port
        tcp.connect(("127.0.0.1", opened.tcp_port))
    opened.close()
    assert not path.exists()


def test_the_file_of_a_killed_agent_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    open_listeners(path, None).close()


def test_a_socket_somebody_answers_on_is_left_alone(path: Path) -> None:
    first = open_listeners(path, None)
    with pytest.raises(ListenerError, match="another tidegate is running here"):
        open_listeners(path, None)
    assert path.exists()
    first.close()


def test_a_worker_that_is_about_to_end_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "ORPHAN_ENDS_S", 10.0)
    orphan = open_listeners(path, None)
    threading.Timer(0.5, orphan.sockets[0].close).start()
    started = time.monotonic()
    open_listeners(path, None).close()
    assert time.monotonic() - started < 10


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(ListenerError, match="is not a socket"):
        open_listeners(path, None)
    assert path.read_text() == "precious"


def test_a_port_in_use_is_named(path: Path) -> None:
    first = open_listeners(None, 0)
    with pytest.raises(ListenerError, match=rf"127\.0\.0\.1:{first.tcp_port}: .*in use"):
        open_listeners(path, first.tcp_port)
    assert not path.exists(), "what was opened before the failure is closed again"
    first.close()


def test_frigates_address_is_named_by_its_own_key(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(ListenerError, match=r"set another frigate\.unix"):
        open_listeners(path, None, key="frigate")
    with pytest.raises(ListenerError, match=r"192\.0\.2\.1:0: .*set another frigate\.tcp"):
        open_listeners(None, 0, "192.0.2.1", "frigate")


def test_a_deleted_file_comes_back_for_the_same_key(path: Path) -> None:
    opened = open_listeners(path, None, key="frigate")
    assert opened.restored() is None
    path.unlink()
    restored = opened.restored()
    assert restored is not None
    assert (restored.unix_path, restored.key, path.exists()) == (path, "frigate", True)
    opened.sockets[0].close()
    restored.close()
