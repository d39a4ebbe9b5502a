"""`tidegate diag`: nothing secret leaves the device, wherever it stood."""

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

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


def test_masking_leaves_what_is_no_secret() -> None:
    assert masked("point full at 127.0.0.1", ["abcd"]) == "point full at 127.0.0.1"
    assert masked("mqtt://gate:pw@host/topic", []) == f"mqtt://{MASK}@host/topic"


def test_a_word_too_short_to_be_a_secret_masks_nothing(tmp_path: Path) -> None:
    assert known_secrets(tmp_path / "none.yaml", {"A_TOKEN": "on", "B_TOKEN": "long enough"}) == {"long enough"}
