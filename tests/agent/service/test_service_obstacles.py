"""What keeps a service from being installed is found before anything is changed, all of it at once."""

import os
import platform
from pathlib import Path

import pytest

from tidegate.service import machine, systemd
from tidegate.service.errors import ServiceError
from tidegate.service.places import system_places


@pytest.fixture(autouse=True)
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "BOOTED", tmp_path)


def test_every_obstacle_is_named_with_its_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine, "ROOM_BYTES", 1 << 60)
    with pytest.raises(ServiceError) as refused:
        machine.check(system_places("systemd"), "/root/.pyenv/versions/3.12.1/bin/python3.12")
    said = str(refused.value)
    for words in ("sudo ./install.sh", "--user", "--python /usr/bin/python3", "MB are free", "make room"):
        assert words in said
    assert refused.value.exit_code == 69


@pytest.mark.parametrize("home", ["/home/me", "/root", "/run/user/1000"])
def test_a_python_that_the_sandbox_hides_is_refused(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "ROOM_BYTES", 0)
    assert list(machine.obstacles(system_places("systemd"), "/nowhere/else/bin/python3")) == []
    (found,) = machine.obstacles(system_places("systemd"), f"{home}/bin/python3")
    assert found.startswith(f"{home}/bin/python3 lies under a home directory")


@pytest.mark.parametrize(
    ("chip", "release", "words"),
    [("arm64", "15.5", None), ("x86_64", "15.5", "Intel processor"), ("arm64", "13.6.9", "this is macOS 13.6.9")],
)
def test_a_mac_for_which_nothing_is_built_is_refused(
    chip: str, release: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(machine, "ROOM_BYTES", 0)
    monkeypatch.setattr(platform, "machine", lambda: chip)
    monkeypatch.setattr(platform, "mac_ver", lambda: (release, ("", "", ""), chip))
    found = list(machine.obstacles(system_places("launchd"), "/nowhere/else/bin/python3"))
    assert [words in each for each in found if words] == ([True] if words else [])
    assert len(found) == (1 if words else 0)


def test_a_battery_chooses_the_policy(tmp_path: Path) -> None:
    supply = tmp_path / "sys/class/power_supply/BAT0"
    supply.mkdir(parents=True)
    (supply / "type").write_text("Mains\n")
    assert not machine.has_battery(tmp_path)
    (supply / "type").write_text("Battery\n")
    assert machine.has_battery(tmp_path)
