"""The running service: what stays out of the supervisor, replies when no point fits."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_process import PLAIN_POLICY, AgentProcess

StartAgent = Callable[..., AgentProcess]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/maps, which Linux has")
def test_the_worker_alone_has_the_models_libraries(start_agent: StartAgent) -> None:
    agent = start_agent()
    worker = agent.wait_until(lambda status: status.worker.state == "serving").worker.pid
    supervisors, workers = (Path(f"/proc/{pid}/maps").read_text() for pid in (agent.pid, worker))
    assert "onnxruntime" in workers
    assert [name for name in ("onnxruntime", "libtorch", "numpy") if name in supervisors] == []


@pytest.mark.parametrize(("no_fit", "status"), [("refuse", 503), ("cheapest_uncertified", 200)])
def test_replies_say_when_no_certified_point_fits(
    start_agent: StartAgent, tmp_path: Path, no_fit: str, status: int
) -> None:
    # No point's energy was measured, so none can be shown to stay within a bound on power.
    policy = PLAIN_POLICY.replace("{use: full}", "{use: {max_power: 1 W}}") + f"no_fit: {no_fit}\n"
    (tmp_path / "policy.yaml").write_text(policy)
    agent = start_agent()
    answered, reply = agent.ask()
    assert answered == status
    if status == 503:
        assert "no certified point" in str(reply["error"])
    else:
        parameters = reply["parameters"]
        assert isinstance(parameters, dict)
        assert parameters["policy_fits"] is False
    assert not agent.status().decision.fits  # type: ignore[union-attr]  # start waits for a decision
