"""The demo as a user runs it, bounded and without a terminal."""

import json
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
