"""The rate that a policy sees is what is asked, so that a limit does not lift itself."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from agent_process import PLAIN_POLICY, AgentProcess

StartAgent = Callable[..., AgentProcess]

BUSY = """\
rules:
  - name: busy
    when: {request_rate: {above: 12 Hz, until: 8 Hz}}
    use: full
    limit: {rate: 2 Hz}
"""
HELD_S = 3.0


def test_a_limit_stays_in_force_while_more_is_asked_than_it_lets_in(
    start_agent: StartAgent, tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(PLAIN_POLICY + BUSY)
    agent = start_agent()
    answers: Counter[int] = Counter()
    enough = threading.Event()

    def insist() -> None:
        while not enough.wait(0.02):
            answers[agent.ask()[0]] += 1

    client = threading.Thread(target=insist)
    client.start()
    try:
        agent.wait_until(lambda status: status.decision is not None and status.decision.rule == "busy")
        agent.wait_until(lambda status: status.served is not None and status.served.turned_away > 0)
        before = answers.copy()
        until = time.monotonic() + HELD_S
        while time.monotonic() < until:
            status = agent.status()
            assert status.decision is not None
            assert status.decision.rule == "busy"
            time.sleep(0.1)
    finally:
        enough.set()
        client.join(30)
    held = answers - before
    assert held[429] > held[200] > 0, "of what was asked while the limit was in force"
    agent.wait_until(lambda status: status.decision is not None and status.decision.rule is None)
