"""The drop-in that opens the network follows agent.yaml, as the version that is to serve reads it."""

import json
import sys
from pathlib import Path

import pytest

from tidegate.service.network_drop_in import NetworkDropIn, named_keys
from tidegate.service.places import system_places, user_places
from tidegate.service.systemd import network


def version(directory: Path, said: str, code: int = 0) -> Path:
    """An environment whose `tidegate` says that of any configuration."""
    program = directory / "version/bin/tidegate"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r})\nsys.exit({code})\n")
    program.chmod(0o755)
    return program.parents[1]


def told(*keys: str) -> str:
    return json.dumps({"valid": True, "other_machines": [{"key": key, "address": "there"} for key in keys]})


def test_it_comes_with_a_key_that_names_others_and_goes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.service.d/20-network.conf"
    for keys in (("listen.address", "streams[0].from.camera"), (), ("broker.host",)):
        NetworkDropIn(file, version(tmp_path, told(*keys)), tmp_path / "agent.yaml").execute()
        assert file.exists() is bool(keys)
        if keys:
            text = file.read_text()
            assert all(f"#   {key}\n" in text for key in keys)
            assert text.endswith("\nIPAddressDeny=\n")


@pytest.mark.parametrize(
    "said", ["devise: unknown key", "", '{"valid": true}', '{"other_machines": null}', '{"other_machines": [3]}']
)
def test_what_can_not_be_told_changes_nothing(tmp_path: Path, said: str) -> None:
    file = tmp_path / "20-network.conf"
    file.write_text("as before")
    NetworkDropIn(file, version(tmp_path, said, 78), tmp_path / "agent.yaml").execute()
    assert file.read_text() == "as before"


def test_keys_that_are_none_do_not_get_into_a_file_of_root() -> None:
    assert named_keys("a warning\n" + told("listen.address", "a\nExecStart=/bin/evil")) == ("listen.address",)


def test_a_users_own_manager_shuts_nobody_out() -> None:
    assert network(user_places("systemd", Path("/home/me"), {}, 1000), Path("/v")) == []
    assert len(network(system_places("systemd"), Path("/v"))) == 1
