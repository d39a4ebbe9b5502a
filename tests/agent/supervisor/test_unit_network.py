"""What its own unit shuts out, the agent asks systemd once for each configuration, and tells with the way out."""

from pathlib import Path

import pytest

from tidegate.config import config_in
from tidegate.network import shut_out
from tidegate.network.unit_firewall import UnitFirewall
from tidegate.supervisor.unit_network import UnitNetwork

BASE = "device: gate\nbundle: b\npolicy: p.yaml\nlisten: {unix: s.sock}\n"


def test_it_is_asked_once_and_again_after_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def firewall(unit: str) -> UnitFirewall:
        asked.append(unit)
        return UnitFirewall(None, closed=True)

    monkeypatch.setattr(shut_out, "own_unit", lambda: "mine.service")
    monkeypatch.setattr(shut_out, "unit_firewall", firewall)
    here, away = (config_in(BASE + more, tmp_path / "agent.yaml") for more in ("", "broker: {host: mqtt.lan}\n"))
    now = here
    watched = UnitNetwork(lambda: now)
    assert (watched.look(), asked) == (None, [])
    now = away
    for _ in range(3):
        told = watched.look()
        assert told is not None
        assert told.startswith("mine.service lets nothing in")
        assert "systemctl edit mine.service" in told
    assert asked == ["mine.service"]
    now = here
    assert watched.look() is None
    monkeypatch.setattr(shut_out, "own_unit", lambda: None)
    now = config_in(BASE + "broker: {host: other.lan}\n", tmp_path / "agent.yaml")
    assert watched.look() is None, "outside of a unit nothing is shut out"
