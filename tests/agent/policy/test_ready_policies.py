"""The ready policies do what their comments say."""

from pathlib import Path

import pytest
from policy_cases import NOON, point, snapshot

from tidegate.models.ladder import Ladder
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.schema import load_policy
from tidegate_drivers.reading import Snapshot

POLICIES = Path(__file__).parents[3] / "profiles" / "policies"
LADDER = Ladder(
    (
        point("full", 0.0),
        point("p1", 0.004),
        point("p2", 0.009),
        point("p3", 0.015),
        point("p4", 0.03),
        point("p5", 0.05),
    )
)
COOL = {"temperature": 45, "thermal_pressure": "nominal"}


def wanted(name, snap):
    policy = load_policy((POLICIES / f"{name}.yaml").read_text(), name)
    return decide(snap, policy, LADDER, ControlState("full"), NOON).wanted


@pytest.mark.parametrize(
    ("name", "values", "point_name"),
    [
        ("demo", {"power_source": "external", "battery": 10}, "full"),
        ("demo", {"power_source": "battery", "battery": 80}, "p3"),
        ("demo", {"power_source": "battery", "battery": 45}, "p4"),
        ("demo", {"power_source": "battery", "battery": 15}, "p5"),
        ("demo", {"power_source": "external", "battery": 80, "temperature": 85}, "p5"),
        ("field-camera", {"power_source": "battery", "battery": 80}, "full"),
        ("field-camera", {"power_source": "battery", "battery": 45}, "p1"),
        ("field-camera", {"power_source": "battery", "battery": 90, "temperature": 85}, "p3"),
        ("laptop", {"power_source": "battery", "battery": 80}, "p2"),
        ("laptop", {"power_source": "battery", "battery": 15}, "p3"),
        ("laptop", {"power_source": "external", "battery": 15}, "full"),
    ],
)
def test_each_state_has_its_point(name, values, point_name):
    assert wanted(name, snapshot(**(COOL | values))) == point_name


@pytest.mark.parametrize(("name", "point_name"), [("demo", "full"), ("laptop", "full"), ("field-camera", "p3")])
def test_without_any_sensor(name, point_name):
    assert wanted(name, Snapshot(0.0)) == point_name
