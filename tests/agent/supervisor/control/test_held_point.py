"""A point held from outside: taken only where the policy may use it, let go when it may no longer, and told."""

import asyncio
from pathlib import Path

from test_refused_points import LADDER, POLICY, Worker, control

from tidegate.policy.schema import load_policy
from tidegate.supervisor.control.control import Control


def held_control(directory: Path) -> tuple[Control, Worker, list[str]]:
    worker = Worker({})
    running, told = control(worker, directory), []
    running._emit = lambda event: told.append(event.text)
    return running, worker, told


def test_a_held_point_is_switched_to_and_left_when_the_policy_decides_again(tmp_path: Path) -> None:
    running, worker, told = held_control(tmp_path)
    assert running.hold(LADDER.full.name) == ""
    asyncio.run(running.step())
    assert worker.point == LADDER.full.name, "the policy alone would use the cheapest"
    assert running.hold(None) == ""
    asyncio.run(running.step())
    assert worker.point != LADDER.full.name
    assert told[0] == f"held at {LADDER.full.name}, until that is ended"
    assert "the policy decides again" in told


def test_what_can_not_be_held_is_refused_with_what_can(tmp_path: Path) -> None:
    running, _, told = held_control(tmp_path)
    refused = running.hold("nonsense" * 100)
    assert "can't be held: allowed are full, foreign, own" in refused
    assert len(refused) < 200
    assert (running.held_at, told) == (None, [])


def test_points_that_the_engine_refuses_can_not_be_held(tmp_path: Path) -> None:
    running, worker, _ = held_control(tmp_path)
    worker.refused = {"foreign": "another engine's"}
    assert running.may_hold == ("full", "own")


def test_a_policy_that_may_not_use_the_point_ends_the_hold(tmp_path: Path) -> None:
    running, _, told = held_control(tmp_path)
    running.hold("own")
    stricter = load_policy(POLICY.replace("5 %", "0 %").replace("cheapest", "full"), "p")
    asyncio.run(running.adopt(stricter))
    asyncio.run(running.step())
    assert running.held_at is None
    assert told[-1].startswith("wants full")
