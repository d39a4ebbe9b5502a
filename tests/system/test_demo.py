"""The demo as a user runs it, bounded and without a terminal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegate.fleet.broker import find_mosquitto

pytestmark = pytest.mark.long

SECONDS = 12


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_demo_answers_switches_takes_a_push_and_loses_nothing() -> None:
    command = [sys.executable, "-m", "tidegate.cli.main", "demo", "--seconds", str(SECONDS), "--replay-all"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    summary = lines[-1]
    assert (summary["requests_failed"], summary["telemetry_lost"], summary["worker_restarts"]) == (0, 0, 0)
    assert summary["requests_served"] > SECONDS * 10
    assert summary["accuracy"] > 0.95
    assert summary["switches"] >= 3
    assert summary["policy_pushes_applied"] == 1
    assert summary["telemetry_published"] == summary["telemetry_spooled"]
    assert set(summary["replayed"]) >= {"battery", "temperature", "power_source"}
    replayed = [line["readings"]["battery"] for line in lines if line.get("type") == "status"]
    assert all(reading["source"].startswith("replay/") for reading in replayed)


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_interrupted_demo_ends_cleanly_with_its_summary() -> None:
    command = [sys.executable, "-m", "tidegate.cli.main", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if json.loads(line).get("served"):
                break
        # To the whole group, as a terminal sends it.
        os.killpg(run.pid, signal.SIGINT)
        lines = run.stdout.read().splitlines()
        assert run.wait(60) == 0
    summary = json.loads(lines[-1])
    assert summary["requests_served"] > 0
    assert (summary["requests_failed"], summary["telemetry_lost"], summary["telemetry_waiting"]) == (0, 0, 0)


def without(hidden: Sequence[Path]) -> list[str]:
    """A command line's beginning that runs the rest where these files are not to be had."""
    own_mounts = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this system gives no mounts of one's own (unshare)")
    hide = "".join(f"mount --bind /dev/null '{path}' && " for path in hidden)
    return [*own_mounts, "sh", "-c", f'{hide} exec "$@"', "sh"]


def mosquitto_here() -> list[Path]:
    found = find_mosquitto()
    return [] if found is None else [found]


@pytest.mark.skipif(sys.platform != "linux", reason="hides mosquitto by a mount namespace, which Linux has")
def test_without_mosquitto_the_push_is_applied_all_the_same() -> None:
    pytest.importorskip("iotcore", reason="iotcore has no wheel for this platform")
    demo = [sys.executable, "-m", "tidegate.cli.main", "demo", "--seconds", str(SECONDS), "--replay-all"]
    run = subprocess.run(
        [*without(mosquitto_here()), *demo], capture_output=True, text=True, check=False, timeout=110
    )
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary["policy_pushes_applied"] == 1
    assert summary["telemetry_published"] == summary["telemetry_spooled"] > 0
    assert (summary["telemetry_lost"], summary["requests_failed"]) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="hides mosquitto by a mount namespace, which Linux has")
def test_without_any_broker_it_says_what_is_missing_and_how_to_get_it() -> None:
    package = Path(pytest.importorskip("iotcore", reason="iotcore has no wheel for this platform").__file__)
    demo = [sys.executable, "-m", "tidegate.cli.main", "demo", "--seconds", "5", "--replay-all"]
    run = subprocess.run(
        [*without([*mosquitto_here(), package]), *demo], capture_output=True, text=True, check=False, timeout=110
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    notes = " ".join(line["text"] for line in lines if line.get("type") == "note")
    assert "no policy is pushed" in notes
    assert "mosquitto" in notes
    assert (lines[-1]["broker"], lines[-1]["policy_pushes_applied"]) == (None, 0)
