"""systemd's own judgement of the units, and what is written into them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tidegate.config import load_config
from tidegate.service import templates
from tidegate.service.broker_url import parse_broker
from tidegate.service.places import Places, system_places, user_places

ELSEWHERE = parse_broker("mqtts://me@there:8884")


@pytest.fixture
def analyze() -> str:
    """systemd-analyze; without it the test is skipped, and in CI on Linux it fails."""
    program = shutil.which("systemd-analyze")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is not installed; ./install.sh test brings it with systemd-container")
        pytest.skip("systemd-analyze is not installed")
    return program


def exposure(analyze: str, unit: Path) -> float:
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.partition("exposure level for")[2].partition(":")[2].split()[0])


@pytest.mark.parametrize(("keys", "password", "most"), [((), False, 1.0), (("broker.host",), True, 1.3)])
def test_the_exposure_is_as_small_as_the_document_says(
    analyze: str, tmp_path: Path, keys: tuple[str, ...], password: bool, most: float
) -> None:
    unit = tmp_path / "tidegate.service"
    text = templates.unit(system_places("systemd"), password=password)
    # What comes later counts, as a drop-in does.
    unit.write_text(text + templates.network_drop_in(keys) if keys else text)
    assert exposure(analyze, unit) <= most


@pytest.mark.parametrize("user", [False, True])
def test_each_directive_stands_under_a_reason_and_none_is_left_unfilled(user: bool) -> None:
    places = user_places("systemd", Path("/home/me"), {}, 1000) if user else system_places("systemd")
    text = templates.unit(places, password=True)
    assert "$" not in text
    for section in ("[Unit]", "[Service]", "[Install]"):
        assert text.count(f"\n{section}\n") == 1
    assert "Type=notify\n" in text
    assert f"ExecStart={places.prefix}/current/bin/tidegate run --config {places.config}\n" in text
    assert "RestartPreventExitStatus=64 65 78\n" in text
    assert "ConditionACPower" not in text


def test_a_password_is_handed_over_and_never_written_into_the_unit() -> None:
    places = system_places("systemd")
    given = "LoadCredential=broker-password:/etc/tidegate/broker-password"
    assert given in templates.unit(places, password=True)
    assert "\nLoadCredential=" not in templates.unit(places, password=False)


@pytest.mark.parametrize(
    "places",
    [system_places("systemd"), system_places("launchd"), user_places("systemd", Path("/home/me"), {}, 1000)],
    ids=["system", "daemon", "user"],
)
@pytest.mark.parametrize("broker", [None, ELSEWHERE])
def test_the_agent_reads_the_agent_yaml_that_is_written(tmp_path: Path, places: Places, broker: object) -> None:
    told = ELSEWHERE if broker is not None else None
    file = tmp_path / "agent.yaml"
    file.write_text(templates.agent_yaml(places, device="gate-7", password=told is not None, broker=told))
    config = load_config(file)
    assert (config.device, config.bundle, config.state_dir) == ("gate-7", places.bundle, places.state_dir)
    assert config.listen.unix == places.socket
    assert (config.broker is not None) == (told is not None)
    if config.broker is not None:
        assert (config.broker.host, config.broker.port, config.broker.username) == ("there", 8884, "me")
        assert config.broker.tls is not None
        assert config.broker.password_file is not None


def test_what_is_commented_out_in_agent_yaml_is_valid_as_well(tmp_path: Path) -> None:
    text = templates.agent_yaml(system_places("systemd"), device="gate-7", password=False, broker=None)
    keys = re.findall(r"^# ([a-z_]+: .+)$", text, re.MULTILINE)
    assert {next(iter(yaml.safe_load(line))) for line in keys} == {"broker", "allow_unsigned", "board", "worker"}
    file = tmp_path / "agent.yaml"
    file.write_text("\n".join([text, *keys]))
    load_config(file)
