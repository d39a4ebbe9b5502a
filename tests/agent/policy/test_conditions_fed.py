"""Every condition of the language is fed: by a device's drivers, the worker's window, and a published number."""

import time

import pytest
from policy_cases import LADDER, NOON

from tidegate.messages import Served
from tidegate.policy.conditions import Evaluation
from tidegate.policy.decision import ControlState
from tidegate.policy.schema import load_policy
from tidegate.policy.schema.conditions import ConditionPart
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.control.inputs import Inputs
from tidegate.telemetry.payloads.input import InputMessage
from tidegate_drivers.catalog import discover
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.testing import device_tree

BOUND_S = 20.0
WHEN = {
    "battery": "{below: 60 %, until: 70 %}",
    "temperature": "{above: 60 C, until: 50 C}",
    "power": "{above: 10 W, until: 8 W}",
    "cpu": "{below: 100 %, until: 100 %}",
    "memory_available": "{above: 1 GiB, until: 1 GiB}",
    "memory_pressure": "{below: 100 %, until: 100 %}",
    "request_rate": "{above: 29 Hz, until: 20 Hz}",
    "latency": "{above: 3 ms, until: 2 ms}",
    "input": "{name: people, above: 3, until: 1}",
    "power_source": "battery",
    "throttled": '"yes"',
    "under_voltage": '"yes"',
    "thermal_pressure": "{at_least: fair}",
    "time": '["11:00", "13:00"]',
}
UNKNOWN = {"under_voltage"}  # boards alone tell
HOLD = WHEN.keys() - UNKNOWN - {"thermal_pressure"}  # the laptop of the tree is nominal


class Worker:
    """Only says where the worker is."""

    point = LADDER.full.name


@pytest.fixture
def sampler(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tidegate_drivers.linux.cpu._INTERVAL_S", 0.2
    )  # its share is of the time between two reads
    device_tree.write(device_tree.load("laptop"), tmp_path)
    sampler = Sampler(discover(tmp_path))
    sampler.start()
    yield sampler
    sampler.stop()


def pass_time(stat):
    """Let the processors work and idle: a tree's counters stand still."""
    name, user, rest = stat.read_text().split(maxsplit=2)
    nice, system, idle, more = rest.split(maxsplit=3)
    stat.write_text(f"{name} {int(user) + 10} {nice} {system} {int(idle) + 10} {more}")


def test_every_condition_is_known_on_a_laptop(sampler, tmp_path):
    parts = {field.alias or name for name, field in ConditionPart.model_fields.items()}
    assert WHEN.keys() == parts - {"any", "all", "not"}
    rules = "".join(f"  - {{name: {key}, when: {{{key}: {when}}}, use: full}}\n" for key, when in WHEN.items())
    policy = load_policy(f"tidegate: 1\nname: all\nversion: 1\nmax_accuracy_loss: 5 %\nrules:\n{rules}", "all")
    events = []
    inputs = Inputs(60.0, events.append)
    inputs.receive(InputMessage("people", b"5"))
    drift = DriftRecord(tmp_path, "b", LADDER, events.append)
    control = Control(
        ladder=LADDER,
        policy=policy,
        worker=Worker(),
        sensors=sampler,
        drift=drift,
        inputs=inputs.readings,
        emit=events.append,
    )
    control.note_served(Served(0, 2.0, 20, 0, 20, 1.0, 4.0, 0.0, 0, turned_away=40))
    until = time.monotonic() + BOUND_S
    while True:
        evaluation = Evaluation(policy, control.snapshot(), ControlState("full"), NOON)
        truths = {rule.name: evaluation.truth(rule.when) for rule in policy.rules}
        if {key for key, truth in truths.items() if truth is None} == UNKNOWN or time.monotonic() > until:
            break
        time.sleep(0.2)
        pass_time(tmp_path / "proc" / "stat")
    assert {key for key, truth in truths.items() if truth} == HOLD
    assert {key for key, truth in truths.items() if truth is None} == UNKNOWN
    assert events == []
