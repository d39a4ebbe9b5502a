"""The demo as a user runs it, bounded and without a terminal."""

import json
import os
import signal
import subprocess
import sys

import pytest

SECONDS = 20


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_demo_answers_switches_takes_a_push_and_loses_nothing() -> None:
    command = [sys.executable, "-m", "agent.cli.main", "demo", "--seconds", str(SECONDS), "--replay-all"]
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
    command = [sys.executable, "-m", "agent.cli.main", "demo"]
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
