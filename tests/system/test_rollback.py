"""A point that no longer answers as at calibration: never served, the policy that wants it rolled back."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import BELOW_FULL, BUNDLE, AgentProcess, Load, pinned
from safetensors.numpy import load, save

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push
from tidegate.telemetry.payloads.envelope import Target, seal


def bundle_with_wrong_canaries(directory: Path, point: str) -> Path:
    """A copy of the shipped bundle that expects other answers at one point, as if its weights had rotted."""
    copy = directory / "rotten"
    copy.mkdir()
    files = {file.name: file.read_bytes() for file in BUNDLE.iterdir()}
    tensors = load(files["canaries.safetensors"])
    points = [entry["name"] for entry in json.loads(files["ladder.json"])["points"]]
    top1 = tensors["top1"].copy()
    top1[points.index(point)] = (top1[points.index(point)] + 1) % 10
    files["canaries.safetensors"] = save({**tensors, "top1": top1})
    manifest = json.loads(files["bundle.json"])
    manifest["files"]["canaries.safetensors"] = {
        "sha256": hashlib.sha256(files["canaries.safetensors"]).hexdigest(),
        "bytes": len(files["canaries.safetensors"]),
    }
    files["bundle.json"] = json.dumps(manifest).encode()
    for name, data in files.items():
        (copy / name).write_bytes(data)
    return copy


@pytest.mark.broker
def test_policy_that_needs_a_failing_point_is_rolled_back(
    start_agent: Callable[..., AgentProcess], broker: LocalBroker, tmp_path: Path
) -> None:
    bundle = bundle_with_wrong_canaries(tmp_path, BELOW_FULL)
    agent = start_agent(broker, allow_unsigned=True, bundle=str(bundle))
    with Load(agent) as load_client:
        result = push(broker.address, seal(pinned(BELOW_FULL, 2), 2, Target("device", agent.device)))
        load_client.wait_served(20)
    assert result.outcome == "rolled_back"
    assert "did not follow" in result.reason
    status = agent.status()
    assert (status.policy.name, status.point, status.switches) == ("plain", "full", 0)
    rollbacks = [event for event in status.recent if event["kind"] == "rollback"]
    assert "answered 0% of the canaries as recorded" in str(rollbacks[0]["text"])
    assert load_client.summary.failed == 0
