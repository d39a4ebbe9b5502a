"""Contestants of the engine benchmark: what one's end costs, and that nobody waits for ever."""

from pathlib import Path

import pytest

from tidegate_bench.engine.peer_goals import goals, rows
from tidegate_bench.engine.peer_race import Entrant, Extent, compete
from tidegate_bench.race import PeerEnded, PeerProcess

PEER = """
import os, sys, time
from tidegate_bench.race import answer_requests
name = sys.argv[1]
if name == "stillborn":
    sys.exit(3)
requests = []
def answer(request):
    requests.append(request)
    if name == "mortal" and len(requests) == 2:
        os.kill(os.getpid(), 9)
    if name == "silent":
        time.sleep(100)
    latencies = [2.0 if name == "eager" else 1.0] * 3
    return {"latencies_ms": latencies, "cpu_ms": 1.5, "rss_bytes": 2**20}
answer_requests(answer)
"""


@pytest.fixture(autouse=True)
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scripted_peer.py").write_text(PEER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_a_peer_that_is_killed_loses_its_own_row_and_says_so() -> None:
    told: list[str] = []
    names = ("eager", "mortal", "stillborn", "onnx fp32")
    entrants = [Entrant(name, "scripted_peer", (name,)) for name in names]
    found = compete("net, 1 threads", entrants, Extent(turns=3, turn_s=0), told.append)
    assert found["eager"].latency_ms == 2.0
    assert found["onnx fp32"].latency_ms == 1.0
    assert found["mortal"].latency_ms is None
    assert "mortal ended with code -9 in the middle" in found["mortal"].lost
    assert "stillborn ended with code 3 before its first answer" in found["stillborn"].lost
    assert sum("its row is lost" in line for line in told) == 2
    table = {("net", 1, peer): measured for peer, measured in found.items()}
    by_engine = {str(row["engine"]): row for row in rows(table)}
    assert by_engine["onnx fp32"]["times_eager"] == 2.0
    assert by_engine["mortal (mortal ended with code -9 in the middle)"]["latency_ms"] is None
    verdicts = {goal.goal: goal.value for goal in goals(table)}
    assert verdicts["net, 1 threads: onnx fp32's latency / ORT fp32's"] is None


def test_nobody_waits_for_a_silent_peer() -> None:
    process = PeerProcess("silent", "scripted_peer", ("silent",))
    try:
        process.wait_ready(30)
        with pytest.raises(PeerEnded, match="silent did not answer within"):
            process.ask({"seconds": 0}, 0.2)
    finally:
        process.close()
