"""SIGKILL for the worker, the broker and the supervisor, under load: nothing acknowledged is lost."""

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from agent_process import ENGINE, AgentProcess, Load, pinned, rungs

from tidegate.fleet.broker import LocalBroker
from tidegate.fleet.push import push
from tidegate.fleet.watch import Watch
from tidegate.telemetry.payloads.envelope import Target, seal

StartAgent = Callable[..., AgentProcess]

pytestmark = pytest.mark.broker


def test_killed_worker_is_replaced_at_its_point_and_no_connection_is_refused(
    start_agent: StartAgent, broker: LocalBroker
) -> None:
    agent = start_agent(broker, allow_unsigned=True)
    point = rungs(ENGINE)[2]
    assert push(broker.address, seal(pinned(point, 2), 2, Target("device", agent.device))).outcome == "accepted"
    with Load(agent) as load:
        load.wait_served(20)
        killed = agent.kill_worker()
        load.wait_served(40)
        after = agent.wait_until(lambda status: status.worker.state == "serving")
    assert after.worker.pid != killed
    assert after.worker.restarts == 1
    assert after.point == point
    assert (load.summary.failed, load.summary.refused) == (0, 0)


@pytest.mark.usefixtures("mosquitto")
def test_killed_broker_costs_no_telemetry(start_agent: StartAgent) -> None:
    # Without the setting mosquitto itself forgets, in a kill, what it had in flight to its subscribers.
    with (
        LocalBroker(settings=("max_inflight_messages 0",)) as broker,
        Watch(broker.address, AgentProcess.device) as witness,
    ):
        agent = start_agent(broker)
        agent.wait_until(lambda status: (status.telemetry.published or 0) >= 4)
        broker.kill()
        agent.wait_until(lambda status: (status.telemetry.waiting or 0) >= 4)
        broker.start()
        drained = agent.wait_until(lambda status: status.telemetry.waiting == 0, 30)
        expected = range(1, (drained.telemetry.spooled or 0) + 1)
        agent.end()
        assert witness.wait_for(expected, 10), f"never seen: {sorted(witness.lost(expected))}"


def test_killed_supervisor_goes_on_where_it_was(start_agent: StartAgent, broker: LocalBroker) -> None:
    with ExitStack() as ending:
        witness = ending.enter_context(Watch(broker.address, AgentProcess.device))
        agent = start_agent(broker, allow_unsigned=True)
        load = ending.enter_context(Load(agent))
        point = rungs(ENGINE)[-1]
        target = Target("device", agent.device)
        assert push(broker.address, seal(pinned(point, 2), 2, target)).outcome == "accepted"
        load.wait_served(20)
        before = agent.wait_until(lambda status: (status.telemetry.published or 0) >= 4)
        agent.kill()
        time.sleep(0.5)
        agent.start()
        after = agent.wait_until(lambda status: (status.telemetry.waiting, status.point) == (0, point), 30)
        load.wait_served(20)
        expected = range(1, (after.telemetry.spooled or 0) + 1)
        assert witness.wait_for(expected, 10), f"never seen: {sorted(witness.lost(expected))}"
    assert (after.telemetry.spooled or 0) > (before.telemetry.spooled or 0)
    assert (after.policy.name, after.policy.version, after.policy.origin) == (f"pinned-{point}", 2, "pushed")
    assert load.summary.failed == 0
