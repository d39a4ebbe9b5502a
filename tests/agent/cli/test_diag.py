"""`tidegate diag`: nothing secret leaves the device, wherever it stood."""

import json
import platform
import tarfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from tidegate.cli.diagnosis import gather
from tidegate.cli.diagnosis.secrets import MASK, known_secrets, masked
from tidegate.cli.main import application
from tidegate.paths import profiles_directory
from tidegate.supervisor.worker.crash_reports import CrashReport, CrashReports

SECRETS = {
    "the broker's password": "hunter2-of-the-broker",
    "the meter's password": "meter-pass-word",
    "a token of the environment": "ghp_environment_token",
    "a credential of systemd": "credential-of-systemd",
    "a password in an address": "in-the-address",
}


@pytest.fixture
def agent_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    secrets = SECRETS
    (tmp_path / "broker.pass").write_text(secrets["the broker's password"] + "\n")
    (tmp_path / "meter.pass").write_text(secrets["the meter's password"])
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "mqtt").write_text(secrets["a credential of systemd"] + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    monkeypatch.setenv("UPLOAD_TOKEN", secrets["a token of the environment"])
    monkeypatch.setenv("PROXY", f"http://user:{secrets['a password in an address']}@proxy:3128")
    file = tmp_path / "agent.yaml"
    # The comments and the policy repeat what nobody should have written there.
    comments = "".join(f"# {each}\n" for each in secrets.values())
    file.write_text(
        f"""device: gate-7
bundle: {profiles_directory() / "bundles" / "digits"}
policy: policy.yaml
state_dir: state
listen: {{unix: tidegate.sock}}
broker: {{host: 127.0.0.1, port: 1, username: gate, password_file: broker.pass}}
meter: "mqtt://user@127.0.0.1:1/plug?password_file={tmp_path / "meter.pass"}#power"
{comments}"""
    )
    (tmp_path / "policy.yaml").write_text(
        f"{comments}tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 1 %\ndefault: {{use: full}}\n"
    )
    report = CrashReport(
        "2027-01-01T00:00:00.000+00:00", "1", 7, "onnx", "full", None, comments, 1.0, None, comments
    )
    assert CrashReports(tmp_path / "state" / "crashes").keep(report) is not None
    return file


@pytest.mark.parametrize("broken", [False, True], ids=["valid", "not valid"])
def test_no_secret_is_in_the_archive(agent_yaml: Path, tmp_path: Path, broken: bool) -> None:
    if broken:
        agent_yaml.write_text(agent_yaml.read_text() + "no_such_key: 1\n")
    archive = tmp_path / "diag.tar.gz"
    done = CliRunner().invoke(application(), ["diag", "--config", str(agent_yaml), "--output", str(archive)])
    assert done.exit_code == 0, done.output
    assert archive.stat().st_mode & 0o077 == 0
    with tarfile.open(archive) as opened:
        members = {each.name: opened.extractfile(each).read().decode() for each in opened}  # type: ignore[union-attr]  # files
    for name in ("agent.yaml", "environment.txt", "checks.json", "versions.json"):
        assert members[f"tidegate-diag/{name}"], "a member that is empty hides nothing"
    assert MASK in members["tidegate-diag/agent.yaml"]
    assert "CREDENTIALS_DIRECTORY" in members["tidegate-diag/environment.txt"]
    assert broken or any("crashes/" in name for name in members)
    for what, secret in SECRETS.items():
        assert [name for name, text in members.items() if secret in text] == [], what


def test_on_a_mac_the_end_of_the_service_s_log_is_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "Library/Logs/tidegate"
    logs.mkdir(parents=True)
    (logs / "agent.log").write_text("the beginning\n" + "x" * gather.LOG_BYTES + "\nthe end\n")
    (logs / "agent.log.1").write_text("before\n")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setenv("HOME", str(tmp_path))
    texts = dict(gather.log_of_the_service())
    assert texts.keys() == {"user-log/agent.log", "user-log/agent.log.1"}
    assert texts["user-log/agent.log"].endswith("the end\n")
    assert "beginning" not in texts["user-log/agent.log"]


def test_the_journal_of_both_managers_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journalctl = tmp_path / "journalctl"
    journalctl.write_text('#!/bin/sh\necho "$*"\n')
    journalctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    ((name, text),) = gather.log_of_the_service()
    assert name == "journal.txt"
    assert "--unit tidegate --user-unit tidegate" in text


def test_masking_leaves_what_is_no_secret() -> None:
    assert masked("point full at 127.0.0.1", ["abcd"]) == "point full at 127.0.0.1"
    assert masked("mqtt://gate:pw@host/topic", []) == f"mqtt://{MASK}@host/topic"


def test_a_word_too_short_to_be_a_secret_masks_nothing(tmp_path: Path) -> None:
    secrets = known_secrets(tmp_path / "none.yaml", {"A_TOKEN": "on", "B_TOKEN": "long enough"})
    assert masked("on and on: long enough", secrets) == f"on and on: {MASK}"


@pytest.mark.parametrize(
    "secret", ['with "quotes"', "with 'quotes'", "back\\slash", "pässwörter", "at@and/slash%"]
)
@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        json.dumps,
        lambda secret: json.dumps(secret, ensure_ascii=False),
        lambda secret: secret.replace("'", "''"),
        lambda secret: f"http://cam/image?user=me&pw={quote(secret, safe='')}",
        lambda secret: b64encode(secret.encode()).decode(),
    ],
    ids=["plain", "Python", "JSON", "JSON as UTF-8", "YAML", "address", "base64"],
)
def test_a_secret_is_masked_however_it_is_written(
    tmp_path: Path, secret: str, write: Callable[[str], str]
) -> None:
    (tmp_path / "pass").write_text(secret + "\n")
    config = tmp_path / "agent.yaml"
    config.write_text("broker: {password_file: pass}\n")
    assert masked(write(secret), known_secrets(config, {})).count(MASK) >= 1
    assert write(secret).strip("\"'") not in masked(f"said {write(secret)}.", known_secrets(config, {}))


def test_a_document_that_does_not_parse_keeps_its_secrets_too(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("hunter2-of-the-broker\n")
    config = tmp_path / "agent.yaml"
    config.write_text("broker: {password_file: pass\n  : password: inline-one\n")
    text = masked(config.read_text() + "the broker heard hunter2-of-the-broker", known_secrets(config, {}))
    assert "inline-one" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("rtsp://cam/stream?token=abcd1234&width=640", "rtsp://cam/stream?token=***&width=640"),
        ("http://cam/snap?user=admin&pwd=abcd1234", "http://cam/snap?user=admin&pwd=***"),
        ("Authorization: Bearer abcd.1234-x_y", "Authorization: Bearer ***"),
        ("Authorization: Basic Z2F0ZTpodW50ZXIy", "Authorization: Basic ***"),
        ('{"api_key": "ab\\"cd", "port": 1}', '{"api_key": ***, "port": 1}'),
        ("MYSQL_PWD=abcd1234", "MYSQL_PWD=***"),
        ("password_file: broker-password", "password_file: broker-password"),
        (
            "not authorized: the user name or password is wrong",
            "not authorized: the user name or password is wrong",
        ),
        ("tokens: 128 a second", "tokens: 128 a second"),
    ],
)
def test_what_is_named_a_secret_is_masked_and_its_surroundings_stay(text: str, left: str) -> None:
    assert masked(text, []) == left
