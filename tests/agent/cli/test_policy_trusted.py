"""`tidegate policy trusted` on the files of an agent that does not run."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tidegate.cli.main import application
from tidegate.policy.store import PolicyStore, digest_of
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.telemetry.spool import Spool

Trusted = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


@pytest.fixture
def trusted(tmp_path: Path) -> Trusted:
    config = tmp_path / "agent.yaml"
    config.write_text("device: gate-7\nbundle: b\npolicy: p.yaml\nstate_dir: state\nlisten: {tcp: 0}\n")
    return lambda *options: CliRunner().invoke(
        application(), ["policy", "trusted", "--config", str(config), *options]
    )


def told(state: Path) -> list[str]:
    """The texts of the events that the agent's next run will publish."""
    spool = Spool(state / "spool.db", 64 << 20, 1e12)
    rows = [json.loads(row.payload) for row in spool.after(0, 100)]
    spool.close()
    return [row["text"] for row in rows if row["kind"] == "policy"]


def test_a_device_that_an_earlier_release_locked_is_shown_and_opened(state: Path, trusted: Trusted) -> None:
    largest, text = 2**53 - 1, "name: old"
    locked = {
        "format": 1,
        "trusted": {"version": largest, "digest": "0" * 64, "outcome": "rolled_back", "reason": "invalid"},
        "accepted": {"text": text, "version": 7, "digest": digest_of(text)},
        "trial": None,
    }
    (state / "policies.json").write_text(json.dumps(locked))
    shown = trusted()
    assert f"above version {largest}\n" in shown.stdout
    assert told(state) == []
    assert "above version 7\n" in trusted("--set", "7").stdout
    assert told(state) == [f"the trusted version was set by hand from {largest} to 7"]
    assert PolicyStore(state).accepted.text == text  # type: ignore[union-attr]
    refused = trusted("--set", str(2**53))
    assert (refused.exit_code, f"allowed are 0 to {largest}" in refused.stderr) == (65, True)


def test_the_clock_is_believed_again(state: Path, trusted: Trusted) -> None:
    LatestTime(state, lambda: 2_000_000_000.0)
    assert "2033-05-18" in trusted().stdout
    believed = trusted("--believe-clock")
    assert (believed.exit_code, "2033-05-18" in believed.stdout) == (0, False)
    assert "2033-05-18" not in trusted().stdout
    assert told(state)[0].startswith("expiry is judged by the clock again")


@pytest.mark.parametrize("content", [b"{", b""])
def test_what_opening_the_store_put_right_is_told_of(state: Path, trusted: Trusted, content: bytes) -> None:
    (state / "policies.json").write_bytes(content)
    assert "kept as policies.json.damaged-1" in trusted().stdout
    assert "the accepted policy is lost" in told(state)[0]


def test_a_trial_that_was_cut_short_is_told_of(state: Path, trusted: Trusted) -> None:
    store, text = PolicyStore(state), "name: new"
    store.offer(text, 2, digest_of(text))
    store.begin_trial(text)
    assert trusted().exit_code == 0
    assert told(state) == ["pushed policy version 2 rolled back: the service stopped during its trial"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_is_the_agents(state: Path, trusted: Trusted) -> None:
    os.chown(state, 65534, 65534)
    assert trusted("--set", "3").exit_code == 0
    made = {path.name: path.stat().st_uid for path in state.iterdir()}
    assert {"policies.json", "latest_time", "spool.db", "lock"} <= set(made)
    assert set(made.values()) == {65534}


def test_wrong_usage_and_no_agent_at_all(state: Path, trusted: Trusted) -> None:
    assert trusted("--set", "-1").exit_code != 0
    assert trusted("--set", "1", "--believe-clock").exit_code != 0
    state.rmdir()
    nothing = trusted()
    assert (nothing.exit_code, "no agent has run here yet" in nothing.stderr) == (69, True)
