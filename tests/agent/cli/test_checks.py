"""`tidegate config check` and `tidegate doctor --config`: what is wrong, each with the way out."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from tidegate.cli.checks.device import check_clock
from tidegate.cli.main import application
from tidegate.config import load_config, trusted_keys
from tidegate.fleet.broker import LocalBroker, find_mosquitto
from tidegate.paths import profiles_directory
from tidegate.supervisor.updates.key_rotation import KeyStore
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.telemetry.payloads.envelope import Target
from tidegate.telemetry.payloads.keys_envelope import seal_keys
from tidegate.trust.keys import PrivateKey
from tidegate.trust.trusted_keys import Role, TrustedKey, TrustedKeys

POLICY = "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 5 %\ndefault: {use: full}\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "policy.yaml").write_text(POLICY)

    def written(**settings: object) -> Path:
        document = {
            "device": "gate-7",
            "bundle": str(profiles_directory() / "bundles" / "digits"),
            "policy": "policy.yaml",
            "state_dir": "state",
            "listen": {"unix": "tidegate.sock"},
            "worker": {"engine": "onnx"},
            **settings,
        }
        (tmp_path / "agent.yaml").write_text(yaml.safe_dump(document))
        return tmp_path / "agent.yaml"

    return written


def check(file: Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(application(), ["config", "check", str(file)])
    return done.exit_code, done.stdout, done.stderr


def checks(file: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """What doctor finds, by name; of several of one name the worst."""
    done = CliRunner().invoke(application(), ["doctor", "--json", "--config", str(file)])
    found: dict[str, dict[str, str]] = {}
    for each in json.loads(done.stdout)["checks"]:
        if each["verdict"] != "ok" or each["name"] not in found:
            found[each["name"]] = each
    return done.exit_code, found


def test_a_right_file_is_valid(write: Callable[..., Path]) -> None:
    file = write()
    code, said, _ = check(file)
    assert code == 0
    assert said.startswith(f"{file}: valid: digits, ")
    assert "p version 1 is valid" in said


def test_every_fault_is_told_not_the_first_alone(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("full", "fulll"))
    code, _, said = check(write(broker={"host": "h", "username": "u", "password_file": "none"}))
    assert code == 78
    assert "no such point on the ladder" in said
    assert "nearest: full" in said
    assert f"{tmp_path / 'none'}: can't be read" in said


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"devise": 1}, "unknown key"), ({"bundle": "/nowhere"}, "/nowhere"), ({"board": "none"}, "board")],
)
def test_what_is_wrong_ends_with_78(write: Callable[..., Path], settings: dict[str, object], told: str) -> None:
    code, _, said = check(write(**settings))
    assert code == 78
    assert told in said


def test_a_broker_that_nobody_runs_is_a_fault_with_a_way_out(write: Callable[..., Path]) -> None:
    code, found = checks(write(broker={"host": "127.0.0.1", "port": 1}))
    assert code == 69
    assert found["broker"]["said"] == "127.0.0.1:1: refused: nothing listens there"
    assert found["broker"]["way_out"] == "start the broker, or check broker.port"
    assert {name for name, each in found.items() if each["verdict"] == "fault"} == {"broker"}


@pytest.mark.broker
@pytest.mark.skipif(find_mosquitto() is None, reason="needs mosquitto")
def test_a_broker_that_answers_is_right_and_a_wrong_password_is_not(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    with LocalBroker() as broker:
        code, found = checks(write(broker={"host": "127.0.0.1", "port": broker.port}))
        assert (code, found["broker"]["verdict"]) == (0, "ok")
    (tmp_path / "users").write_text("")
    with LocalBroker(settings=("allow_anonymous false", f"password_file {tmp_path / 'users'}")) as strict:
        code, found = checks(write(broker={"host": "127.0.0.1", "port": strict.port}))
        assert code == 69
        assert "check broker.username and broker.password_file" in found["broker"]["way_out"]


def test_keys_that_others_may_read_or_that_are_not_asked_for_are_warned_of(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "pass").write_text("secret")
    (tmp_path / "pass").chmod(0o644)
    broker = {"host": "127.0.0.1", "port": 1, "username": "u", "password_file": "pass"}
    _, found = checks(write(broker=broker))
    assert found["keys"]["way_out"] == f"chmod 600 {tmp_path / 'pass'}"
    _, found = checks(write(allow_unsigned=True))
    assert "take it out of agent.yaml" in found["keys"]["way_out"]


def test_whose_policies_are_taken_is_told(write: Callable[..., Path]) -> None:
    broker = {"host": "127.0.0.1", "port": 1}
    _, found = checks(write(broker=broker))
    assert (
        found["keys"]["said"] == "no key may sign policies, so each push is refused; tidegate key trust FILE.pub"
    )
    key = {"name": "ops", "key": PrivateKey(bytes(32)).public.text}
    _, found = checks(write(broker=broker, trusted_keys=[key]))
    assert (found["keys"]["verdict"], found["keys"]["said"]) == ("ok", "policies are taken that are signed by ops")
    keys = [key, {"name": "qa", "key": PrivateKey(bytes(31) + b"q").public.text}]
    _, found = checks(write(broker=broker, trusted_keys=keys))
    assert found["keys"]["said"] == "policies are taken that are signed by ops or qa"
    _, found = checks(write(broker=broker, trusted_keys=keys, signature_thresholds={"policy": 2}))
    assert found["keys"]["said"] == "policies are taken that are signed by 2 of ops, qa"


def test_keys_that_were_rotated_over_mqtt_are_the_ones_told(write: Callable[..., Path]) -> None:
    ops, new = PrivateKey(bytes(32)), PrivateKey(bytes(31) + b"n")
    roles = ["policy", "key_rotation"]
    file = write(trusted_keys=[{"name": "ops", "key": ops.public.text, "roles": roles}])
    state_dir = load_config(file).state_dir
    state_dir.mkdir(parents=True, exist_ok=True)
    rotated = TrustedKeys((TrustedKey("new", new.public, frozenset(map(Role, roles))),))
    envelope = seal_keys(rotated, 3, Target("device", "gate-7"), None, [ops, new])

    async def rotate() -> None:
        keys = KeyStore(state_dir, trusted_keys(load_config(file)), LatestTime(state_dir), lambda _: None)
        await asyncio.to_thread(keys.receive, "tidegate/gate-7/keys", envelope.to_json())

    asyncio.run(rotate())
    _, found = checks(file)
    assert found["keys"]["said"] == ("policies are taken that are signed by new, as rotated over MQTT (version 3)")


def test_a_damaged_bundle_and_a_disk_without_the_directory_are_told(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    shutil.copytree(profiles_directory() / "bundles" / "digits", tmp_path / "digits")
    (tmp_path / "digits" / "weights.safetensors").write_bytes(b"x")
    (tmp_path / "state").write_text("a file")
    code, found = checks(write(bundle="digits"))
    assert code == 69
    assert "weights.safetensors" in found["bundle"]["said"]
    assert "is not a directory" in found["disk"]["said"]


def test_a_clock_before_this_release_is_a_fault() -> None:
    assert check_clock(0.0).verdict == "fault"
    assert "1970-01-01" in check_clock(0.0).said
    assert check_clock(4e9).verdict == "ok"
