"""What a reload brings into force, and what it names for a restart: each key of agent.yaml is one or the other."""

from pathlib import Path

import yaml

from tidegate.config import AgentConfig, load_config, state_dir_in
from tidegate.supervisor.reload.changes import SWAPPED, changes

BASE: dict[str, object] = {
    "device": "gate-7",
    "bundle": "digits",
    "policy": "policy.yaml",
    "state_dir": "state",
    "listen": {"unix": "tidegate.sock"},
}
OTHER: dict[str, object] = {
    "device": "gate-8",
    "bundle": "letters",
    "models": [{"name": "plates", "bundle": "plates"}],
    "policy": "other.yaml",
    "board": "raspberry-pi-5",
    "state_dir": "elsewhere",
    "listen": {"tcp": 8700},
    "broker": {"host": "broker"},
    "allow_unsigned": True,
    "trusted_keys": [{"name": "ops", "key": "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="}],
    "signature_thresholds": {"policy": 1},
    "groups": ["north"],
    "telemetry": {"window": "1 s"},
    "spool": {"max_size": "2 MiB"},
    "inputs": {"max_age": "5 s"},
    "pushed_bundles": {"max_size": "1 GiB"},
    "meter": "hwmon://ina219/power1",
    "controls": ["cpu_governor"],
    "suspend": "systemd",
    "replay": {"trace": "day.csv"},
    "web": {"tcp": 9464},
    "frigate": {"tcp": 5555},
    "streams": [{"name": "door", "from": {"camera": "/dev/video0"}, "to": {"lines": "answers.jsonl"}}],
    "footage": {"max_size": "8 MiB"},
    "certificate": "camera.json",
    "home_assistant": True,
    "remote_hold": True,
    "worker": {"engine": "onnx"},
}


def config(directory: Path, **settings: object) -> AgentConfig:
    file = directory / "agent.yaml"
    file.write_text(yaml.safe_dump({**BASE, **settings}))
    return load_config(file)


def test_each_key_is_swapped_or_named_for_a_restart(tmp_path: Path) -> None:
    running = config(tmp_path)
    assert set(OTHER) == set(AgentConfig.model_fields), "a new key needs a value here, and a decision"
    for key, value in OTHER.items():
        wanted = config(tmp_path, **{key: value})
        found = changes(running, wanted)
        if key in SWAPPED:
            assert (getattr(found.config, key), found.after_restart) == (getattr(wanted, key), ())
        else:
            assert (found.config, found.after_restart) == (running, (key,))


def test_nothing_changed_is_nothing_to_do(tmp_path: Path) -> None:
    assert changes(config(tmp_path), config(tmp_path)).config == config(tmp_path)


def test_the_state_directory_is_found_in_a_file_that_is_wrong_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("state_dir: state\nno_such_key: 1\n")
    assert state_dir_in(file) == tmp_path / "state"
    for unreadable in ("state_dir: [1]\n", "[", "- a\n"):
        file.write_text(unreadable)
        assert state_dir_in(file) is None
