"""Which keys of agent.yaml have to do with other machines, and what systemd says of a unit's firewall."""

from pathlib import Path

import pytest

from tidegate.config import config_in
from tidegate.network import shut_out, unit_firewall
from tidegate.network.other_machines import other_machines
from tidegate.network.unit_firewall import UnitFirewall, own_unit, read_properties

BASE = "device: gate\nbundle: b\npolicy: p.yaml\n"
HERE = "listen: {unix: s.sock}\n"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (HERE, []),
        ("listen: {tcp: 8700}\n", []),
        ('listen: {tcp: 8700, address: "0.0.0.0", token_file: t}\n', ["listen.address"]),
        ('listen: {tcp: 8700, address: "::1"}\n', []),
        ('listen: {tcp: 8700, address: "::ffff:127.0.0.1"}\n', []),
        (HERE + "web: {tcp: 9464}\n", []),
        (HERE + 'web: {tcp: 9464, address: "::", token_file: t}\n', ["web.address"]),
        (HERE + "web: {unix: w.sock}\n", []),
        (HERE + "frigate: {tcp: 1, address: 10.0.0.1, unauthenticated: true}\n", ["frigate.address"]),
        (HERE + "frigate: {unix: f.sock}\n", []),
        (HERE + "broker: {host: localhost}\n", []),
        (HERE + "broker: {host: 127.0.0.2}\n", []),
        (HERE + "broker: {host: mqtt.lan}\n", ["broker.host"]),
        (HERE + "meter: mqtt://plug.lan/power#apower\n", ["meter"]),
        (HERE + "meter: nut://localhost/ups\n", []),
        (HERE + "meter: nut://ups.lan/ups\n", ["meter"]),
        (HERE + "meter: file:/run/meter.json#power_w\n", []),
        (
            HERE
            + "streams:\n- {name: a, from: {camera: /dev/video0}, to: {lines: a}}\n"
            + "- {name: b, from: {camera: 'rtsp://me@cam.lan/1'}, to: {lines: b}}\n"
            + "- {name: c, from: {camera: 'rtsp://127.0.0.1/1'}, to: {lines: c}}\n"
            + "- {name: d, from: {camera: 'rtsp://[/1'}, to: {lines: d}}\n",
            ["streams[1].from.camera"],
        ),
    ],
)
def test_every_key_with_an_address_elsewhere_is_named(tmp_path: Path, keys: str, named: list[str]) -> None:
    config = config_in(BASE + keys, tmp_path / "agent.yaml")
    assert [each.key for each in other_machines(config)] == named


START = "ExecStart={ path=/opt/t ; argv[]=/opt/t run --config /etc/tidegate/agent.yaml ; ignore_errors=no }"
CONFIG = Path("/etc/tidegate/agent.yaml")


@pytest.mark.parametrize(
    ("denied", "allowed", "closed"),
    [
        ("::/0 0.0.0.0/0", "127.0.0.0/8 ::1/128", True),
        ("::/0 0.0.0.0/0", "", True),
        ("", "127.0.0.0/8 ::1/128", False),
        ("", "", False),
        ("0.0.0.0/0 ::/0", "::1/128 192.168.0.0/16 127.0.0.0/8", False),
        ("10.0.0.0/8", "", False),
        ("::/0", "", False),
        ("0.0.0.0/0", "127.0.0.0/8", False),
    ],
)
def test_a_unit_is_closed_where_everything_is_denied_and_nobody_else_allowed(
    denied: str, allowed: str, closed: bool
) -> None:
    shown = f"{START}\nIPAddressDeny={denied}\nIPAddressAllow={allowed}\nLoadState=loaded\n"
    assert read_properties(shown) == UnitFirewall(CONFIG, closed)


def test_a_unit_that_is_not_there_says_nothing() -> None:
    assert read_properties("LoadState=not-found\nIPAddressDeny=\nIPAddressAllow=\n") is None
    assert read_properties("") is None


@pytest.mark.parametrize(
    ("groups", "unit"),
    [
        ("0::/system.slice/tidegate.service\n", "tidegate.service"),
        ("12:pids:/x\n1:name=systemd:/system.slice/mine.service\n0::/system.slice/mine.service\n", "mine.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/tidegate.service\n", None),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
        ("0::/\n", None),
    ],
)
def test_the_unit_of_a_process_is_its_control_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, unit: str | None
) -> None:
    file = tmp_path / "cgroup"
    file.write_text(groups)
    monkeypatch.setattr(unit_firewall, "CONTROL_GROUP", file)
    assert own_unit() == unit


def test_only_the_file_that_the_unit_starts_with_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "agent.yaml"
    monkeypatch.setattr(shut_out, "unit_firewall", lambda _: UnitFirewall(ours, closed=True))
    away = config_in(BASE + HERE + "broker: {host: mqtt.lan}\n", ours)
    found = shut_out.shut_out_of_service(away, ours)
    assert found is not None
    assert "broker.host mqtt.lan" in found.said
    assert shut_out.shut_out_of_service(away, tmp_path / "other.yaml") is None
    assert shut_out.shut_out_of_service(config_in(BASE + HERE, ours), ours) is None
    monkeypatch.setattr(shut_out, "unit_firewall", lambda _: UnitFirewall(ours, closed=False))
    assert shut_out.shut_out_of_service(away, ours) is None
