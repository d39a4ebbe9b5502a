"""sd_notify over a real datagram socket."""

import socket
from pathlib import Path

import pytest

from tidegate.supervisor.sd_notify import notify


def test_fields_arrive_one_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        assert notify(READY=1, STATUS="serving at full")
        assert systemd.recv(4096) == b"READY=1\nSTATUS=serving at full"


def test_abstract_addresses_are_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"tidegate-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name)
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify(WATCHDOG=1)
        assert systemd.recv(4096) == b"WATCHDOG=1"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify(READY=1)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify(READY=1)
