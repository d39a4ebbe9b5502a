"""What a person reads of a command a program can read too: `--json`, or the reason why there is none."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from here import tidegate_here

from tidegate.cli.command_tree import commands
from tidegate.cli.main import application
from tidegate.paths import profiles_directory

TREE: Any = typer.main.get_command(application())
PROFILES = profiles_directory()
GOOD = PROFILES / "policies" / "field-camera.yaml"

WITHOUT = {
    "run": "its log is its output",
    "reload": "says what changed in words; the exit code tells a program all it needs",
    "diag": "writes a file",
    "record": "writes a file",
    "docs": "is for reading",
    "man": "is for reading",
    "config schema": "is JSON",
    "policy schema": "is JSON",
    "policy sign": "writes an envelope, which is JSON",
    "key new": "writes two files",
    "key trust": "changes a file",
    "key revoke": "changes a file",
    "key rotate": "the verdict stands in `fleet status --json`",
    "bundle sign": "writes an envelope, which is JSON",
    "bundle index": "writes a file",
    "bundle build": "writes a bundle; `bundle inspect --json` reads it",
    "bundle build-demo": "writes a bundle; `bundle inspect --json` reads it",
    "bundle certify": "writes a bundle; `bundle inspect --json` reads it",
    "bundle coreml": "writes files",
    "bundle report": "writes a page",
    "bundle label": "serves a page",
    "fleet watch": "is for looking at; `fleet status --json` is the same once",
    "fleet push": "its state is retained at the broker",
}


def test_every_command_speaks_json_or_says_why_not() -> None:
    silent = {
        command.words for command in commands(TREE) if not any("--json" in each.names for each in command.options)
    }
    assert silent - set(WITHOUT) == set()
    assert set(WITHOUT) - silent == set(), "these do by now"


def test_a_policy_that_is_valid_and_one_that_is_not(tmp_path: Path) -> None:
    checked = tidegate_here("policy", "check", GOOD, "--json")
    assert checked.returncode == 0
    told = json.loads(checked.stdout)
    assert (told["valid"], told["name"], told["problems"]) == (True, "field-camera", [])
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(GOOD.read_text().replace("default: {use: full}", "default: {use: full}\nrulez: []"))
    checked = tidegate_here("policy", "check", wrong, "--json")
    assert (checked.returncode, checked.stderr) == (78, "")
    told = json.loads(checked.stdout)
    assert told["valid"] is False
    (problem,) = told["problems"]
    assert problem["nearest"] == "rules"
    assert wrong.read_text().splitlines()[problem["line"] - 1].startswith("rulez")


def test_warnings_of_a_valid_policy_have_places(tmp_path: Path) -> None:
    flaps = tmp_path / "flap.yaml"
    flaps.write_text(
        "tidegate: 1\nname: flap\nversion: 1\nmax_accuracy_loss: 3 %\n"
        "rules: [{name: slow, when: {latency: {above: 65 ms, until: 40 ms}}, use: cheapest}]\n"
    )
    ladder = PROFILES / "ladders" / "camera.yaml"
    checked = tidegate_here("policy", "check", flaps, "--ladder", ladder, "--json")
    told = json.loads(checked.stdout)
    assert (checked.returncode, told["valid"]) == (0, True)
    assert [each["line"] for each in told["warnings"]] == [5]


def test_every_value_of_a_policy_has_its_place() -> None:
    shown = json.loads(tidegate_here("policy", "show", GOOD, "--json").stdout)
    by_path = {each["path"]: each for each in shown["values"]}
    assert by_path["name"]["value"] == "field-camera"
    assert by_path["name"]["file"] == str(GOOD)


def test_a_configuration_with_all_of_its_faults(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(f"device: a\nbundle: {PROFILES}/bundles/digits\npolicy: {GOOD}\nlisten: {{tcp: 0}}\n")
    checked = tidegate_here("config", "check", config, "--json")
    assert (checked.returncode, json.loads(checked.stdout)["valid"]) == (0, True)
    config.write_text(config.read_text().replace("digits", "nowhere"))
    checked = tidegate_here("config", "check", config, "--json")
    told = json.loads(checked.stdout)
    assert (checked.returncode, told["valid"]) == (78, False)
    assert any(check["verdict"] == "fault" and "nowhere" in check["said"] for check in told["checks"])


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tidegate_here("key", "new", "ops")
    one = json.loads(tidegate_here("key", "show", "ops.pub", "--json").stdout)
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"device: a\nbundle: b\npolicy: p\nlisten: {{tcp: 0}}\nstate_dir: state\n"
        f"trusted_keys: [{{name: ops, key: {one['key']}, roles: [policy]}}]\n"
    )
    told = json.loads(tidegate_here("key", "show", "--config", config, "--json").stdout)
    assert told["keys"] == [{"name": "ops", **one, "roles": ["policy"]}]
    assert (told["rotation"], told["allow_unsigned"]) == (None, False)


def test_the_checks_of_a_bundle(tmp_path: Path) -> None:
    refused = tidegate_here("bundle", "verify", tmp_path, "--json")
    assert refused.returncode == 65
    (check,) = json.loads(refused.stdout)["checks"]
    assert (check["name"], check["ok"]) == ("contents", False)
