"""A real agent that comes back after its device lost the power: it begins at the cheapest point, and says why."""

import json
from collections.abc import Callable

from agent_process import BUNDLE, AgentProcess

from tidegate.models.bundle import open_bundle

StartAgent = Callable[..., AgentProcess]


def lose_power(agent: AgentProcess) -> None:
    """Killed, and what is on the disk is of an earlier boot: all that is left after a brown-out."""
    agent.kill()
    file = agent.state_dir / "last_run.json"
    run = json.loads(file.read_text())
    assert run["ended"] is False
    file.write_text(json.dumps({**run, "point": "full", "boot_id": "an earlier boot"}))


def test_two_losses_put_a_point_off_and_a_goodbye_is_none(start_agent: StartAgent) -> None:
    agent = start_agent()
    agent.wait_until(lambda status: status.point == "full")
    for count in (1, 2):
        lose_power(agent)
        agent.start()
        status = agent.status()
        (told,) = (event for event in status.recent if "another boot followed" in str(event["text"]))
        assert (told["kind"], told["point"], told["count"]) == ("fault", "full", count)
        cheapest = [rung.name for rung in status.ladder if not rung.refused][-1]
        assert status.point == cheapest
        assert agent.ask()[0] == 200
    assert agent.end() == 0
    # Ended as told, it does not climb anew; the point stays put off.
    agent.start()
    status = agent.wait_until(lambda status: any(trouble.part == "supply" for trouble in status.troubles))
    assert status.point != "full"
    (trouble,) = (trouble for trouble in status.troubles if trouble.part == "supply")
    assert trouble.because.startswith("full: full is put off: the power was lost 2 times at it")
    assert status.explanation is not None
    assert "put off" in status.explanation.left_out["full"]
    kept = json.loads((agent.state_dir / "brown_outs.json").read_text())
    assert kept["bundle"] == open_bundle(BUNDLE).sha256
    assert kept["losses"]["full"]["count"] == 2
