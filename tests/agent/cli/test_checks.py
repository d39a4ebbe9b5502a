"""`tidegate config check` and `tidegate doctor --config`: what is wrong, each with the way out."""

import asyncio
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from certificates import HAVE_OPENSSL, Authority
from typer.testing import CliRunner

from tidegate.cli.checks.device import check_clock, check_footage
from tidegate.cli.checks.signers import check_signers
from tidegate.cli.main import application
from tidegate.config import load_config, trusted_keys
from tidegate.fleet.broker import LocalBroker, find_mosquitto
from tidegate.footage import kept
from tidegate.paths import profiles_directory
from tidegate.supervisor import frigate_package
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


@pytest.mark.parametrize(
    ("token", "told"), [(None, "token: can't be read: No such file"), ("short", "no token that can be sent")]
)
def test_a_token_that_an_agent_would_not_start_with_is_a_fault(
    write: Callable[..., Path], tmp_path: Path, token: str | None, told: str
) -> None:
    if token is not None:
        (tmp_path / "token").write_text(token)
    code, _, said = check(write(web={"tcp": 9464, "address": "0.0.0.0", "token_file": "token"}))
    assert code == 78
    assert told in said


def test_frigate_before_a_classifier_is_warned_of_and_without_its_package_a_fault(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(frigate={"unix": "frigate.sock"})
    monkeypatch.setattr(frigate_package, "find_spec", lambda name: object())
    code, _, said = check(file)
    assert code == 0
    assert "frigate: bundle digits is no detector" in said
    monkeypatch.setattr(frigate_package, "find_spec", lambda name: None)
    code, _, said = check(file)
    assert code == 78
    assert "frigate: the package pyzmq is missing; install it with `pip install 'tidegate[frigate]'`" in said


def test_a_broker_that_nobody_runs_is_a_fault_with_a_way_out(write: Callable[..., Path]) -> None:
    code, found = checks(write(broker={"host": "127.0.0.1", "port": 1}))
    assert code == 69
    assert found["broker"]["said"] == "127.0.0.1:1: refused: nothing listens there"
    assert found["broker"]["way_out"] == "start the broker, or check broker.port"
    assert {name for name, each in found.items() if each["verdict"] == "fault"} == {"broker"}


def test_an_address_for_the_status_page_that_is_taken_is_a_fault(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "web.token").write_text("0123456789abcdef")
    (tmp_path / "web.token").chmod(0o644)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, found = checks(write(web={"tcp": port, "token_file": "web.token"}))
    assert code == 69
    assert found["web"]["said"] == f"127.0.0.1:{port}: Address already in use"
    assert found["web"]["way_out"] == "set another web.tcp, or end what listens there"
    assert found["keys"]["verdict"] == "warning"


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


BROKER = {"host": "127.0.0.1", "port": 1}


def entry(name: str, *roles: str) -> dict[str, object]:
    return {"name": name, "key": PrivateKey(name.encode().ljust(32, b".")).public.text, "roles": list(roles)}


def told_of_keys(file: Path) -> list[tuple[str, str]]:
    return [(each.verdict, each.said) for each in check_signers(load_config(file))]


def test_a_role_without_a_key_is_told_and_warned_of_where_agent_yaml_speaks_of_it(
    write: Callable[..., Path],
) -> None:
    nobody = "no key may sign bundles, so each push is refused"
    policy = [entry("ops", "policy", "key_rotation")]
    said = told_of_keys(write(broker=BROKER, trusted_keys=policy))
    assert ("ok", f"{nobody}; tidegate key trust FILE.pub --role bundle") in said
    said = told_of_keys(write(broker=BROKER, trusted_keys=policy, pushed_bundles={"max_size": "1 MiB"}))
    assert ("warning", f"{nobody}, though agent.yaml has `pushed_bundles`") in said
    said = told_of_keys(write(broker=BROKER, trusted_keys=policy, signature_thresholds={"bundle": 1}))
    assert ("warning", f"{nobody}, though agent.yaml has `signature_thresholds: {{bundle: 1}}`") in said
    models = [*policy, entry("models", "bundle")]
    said = told_of_keys(write(broker=BROKER, trusted_keys=models, pushed_bundles={"max_size": "1 MiB"}))
    assert ("ok", "bundles are taken that are signed by models") in said
    assert [verdict for verdict, _ in said] == ["ok"] * 3


def test_groups_whose_policies_nobody_may_sign_are_warned_of(write: Callable[..., Path]) -> None:
    models = [entry("models", "bundle", "key_rotation")]
    said = told_of_keys(write(broker=BROKER, trusted_keys=models, groups=["north"]))
    nobody = "no key may sign policies, so each push is refused"
    assert ("warning", f"{nobody}, though agent.yaml has `groups: [north]`") in said
    said = told_of_keys(write(broker=BROKER, trusted_keys=models, groups=["north"], allow_unsigned=True))
    assert not any("may sign policies" in each for _, each in said)
    assert told_of_keys(write()) == [], "without a broker nobody pushes"


def test_keys_of_which_none_may_be_lost_are_warned_of(write: Callable[..., Path]) -> None:
    both = [entry(name, "policy", "bundle", "key_rotation") for name in ("ops", "qa")]
    needed = {"key_rotation": 2, "policy": 2}
    said = told_of_keys(write(broker=BROKER, trusted_keys=both, signature_thresholds=needed))
    warned = [each for verdict, each in said if verdict == "warning"]
    assert warned == ["other trusted keys need all 2 signers: with one key lost they can be replaced here alone"]
    three = [*both, entry("spare", "key_rotation")]
    said = told_of_keys(write(broker=BROKER, trusted_keys=three, signature_thresholds=needed))
    assert [verdict for verdict, _ in said] == ["ok"] * 3


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


def test_an_endpoint_that_others_reach_is_looked_at(write: Callable[..., Path], tmp_path: Path) -> None:
    if not HAVE_OPENSSL:
        pytest.skip("needs openssl")
    token = tmp_path / "endpoint.token"
    token.write_text("0123456789abcdef")
    token.chmod(0o644)
    listen = {"tcp": 0, "address": "0.0.0.0"}
    code, found = checks(write(listen={**listen, "unauthenticated": True}))
    assert code == 0, "it was meant"
    assert "unauthenticated: whoever reaches 0.0.0.0 may ask" in found["listen"]["said"]
    _, found = checks(write(listen={**listen, "token_file": str(token)}))
    assert "the token travels in the clear" in found["listen"]["said"]
    assert found["keys"]["way_out"] == f"chmod 600 {token}"
    token.write_text("short")
    code, _, said = check(write(listen={**listen, "token_file": str(token)}))
    assert code == 78
    assert "listen: " in said
    assert "openssl rand -hex 16" in said
    token.write_text("0123456789abcdef")
    authority = Authority(tmp_path / "authority")
    good, expired = authority.signed("good", days=90), authority.signed("expired", days=-1)
    asks = {**listen, "token_file": str(token)}
    assert check(write(listen={**asks, "tls": good.paths}))[0] == 0
    code, _, said = check(write(listen={**asks, "tls": expired.paths}))
    assert code == 78
    assert "the certificate expired on" in said
    code, _, said = check(write(listen={**asks, "tls": {**good.paths, "key": str(expired.key)}}))
    assert code == 78
    assert f"{expired.key}: not the key of {good.certificate}" in said


def test_frames_that_stay_or_that_others_may_read_are_told(write: Callable[..., Path]) -> None:
    off, on = load_config(write()), load_config(write(footage={"max_size": "8 MiB"}))
    assert [each.said for each in check_footage(off)] == ["no frame is kept"]
    (told,) = check_footage(on)
    assert (told.verdict, told.said[:27]) == ("ok", "0 clips and 0 disagreements")
    directory = on.state_dir / kept.DIRECTORY / "sample"
    directory.mkdir(mode=0o755, parents=True)
    directory.parent.chmod(0o755)
    (directory / "1700000000-8000000000000000.npz").touch()
    (told,) = check_footage(on)
    assert (told.verdict, told.way_out) == ("warning", f"chmod -R go= {directory.parent}")
    (told,) = check_footage(off)
    assert (told.verdict, told.way_out) == ("fault", "tidegate footage clear")
