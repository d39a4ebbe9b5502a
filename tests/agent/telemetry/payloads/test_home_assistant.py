"""What is said to Home Assistant, by its own schemas where it is installed, else by them written down."""

import json
import os
import re
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from tidegate.supervisor.models.model_status import LoadState
from tidegate.telemetry.payloads.home_assistant import (
    MODEL_STATES,
    discovery,
    discovery_topic,
    lasting,
    taking_back,
)
from tidegate.telemetry.payloads.reported import PastVerdict, PolicyState, Reported, ReportedModel

PYTHON = os.environ.get("TIDEGATE_HOME_ASSISTANT_PYTHON")
"""An interpreter with the package `homeassistant` 2024.11 or newer and what its MQTT integration imports."""
READINGS = ("battery", "temperature", "power", "energy", "cpu")
FURTHER = ("plates", "Plates", "pla.tes", "pla_tes", "pla-tes", "pla_2etes", "plates_state", "plates_state_state")
HELD = discovery("cam.1", "0.2.0", "digits", READINGS, ("full", "int8"), FURTHER)
SHOWN = discovery("cam-1", "0.2.0", "digits", ("battery",), ())

NEEDED = {
    "sensor": {"state_topic"},
    "binary_sensor": {"state_topic"},
    "update": {"state_topic"},
    "select": {"command_topic", "options"},
    "switch": {"command_topic"},
}
"""By platform what its schema requires, beside `unique_id`, which device discovery does."""


def components(config: dict[str, object]) -> dict[str, dict[str, object]]:
    found = config["components"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("config", [HELD, SHOWN], ids=["held", "shown"])
def test_it_is_what_device_discovery_requires(config: dict[str, object]) -> None:
    assert {"device", "origin", "components"} <= config.keys()
    ids = [component["unique_id"] for component in components(config).values()]
    assert len(set(ids)) == len(ids)
    for component in components(config).values():
        assert NEEDED[str(component["platform"])] <= component.keys()


def test_an_entity_is_there_for_what_the_device_has() -> None:
    assert {"battery", "temperature", "power", "energy"} <= components(HELD).keys()
    assert not {"temperature", "power", "energy"} & components(SHOWN).keys()


def test_a_point_can_be_chosen_only_where_holds_are_taken() -> None:
    assert components(HELD)["operating_point"]["options"] == ["policy", "full", "int8"]
    assert components(HELD)["policy_paused"]["platform"] == "switch"
    assert components(SHOWN)["operating_point"]["platform"] == "sensor"
    assert not any("command_topic" in component for component in components(SHOWN).values())


@pytest.mark.parametrize("device", ["cam-1", "cam.1", "cam_1", "cam_2e1"])
def test_each_device_has_a_topic_of_its_own_that_home_assistant_reads(device: str) -> None:
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery_topic(device))
    others = {discovery_topic(each) for each in ("cam-1", "cam.1", "cam_1", "cam_2e1")}
    assert len(others) == 4


def states_in_home_assistant(config: dict[str, object]) -> dict[str, Any]:
    """What Home Assistant's own code makes of a config, by component."""
    reader = Path(__file__).with_name("home_assistant_reader.py")
    assert PYTHON is not None
    done = subprocess.run(
        [PYTHON, str(reader)], input=json.dumps(config), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    states: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return states


@pytest.mark.skipif(PYTHON is None, reason="TIDEGATE_HOME_ASSISTANT_PYTHON names no interpreter")
@pytest.mark.parametrize("config", [HELD, SHOWN], ids=["held", "shown"])
def test_home_assistant_takes_it_and_its_templates_render(config: dict[str, object]) -> None:
    states = states_in_home_assistant(config)
    assert states["battery"] == ["81", "None"]
    assert states["certified_risk"] == ["1.5", "None"]
    assert states["accuracy_guard"] == ["ON", "OFF"]
    if config is HELD:
        assert states["model_plates_state"] == ["evicted", "None"]
        assert states["model_plates_point"] == ["None", "None"]
        assert states["model_pla_2etes_point"] == ["int8", "None"]
        assert [json.loads(each) for each in states["model_plates_state attributes"]] == [
            {"reason": "it made room for faces", "bundle": "ab12"},
            {"reason": None, "bundle": None},
        ]
    assert [json.loads(each) for each in states["agent"]] == [
        {"installed_version": "0.2.0", "latest_version": "0.3.0", "in_progress": False},
        {"installed_version": "0.1.0-1a2b3c4d", "latest_version": "0.2.0", "in_progress": True},
    ]
    assert [json.loads(each) for each in states["bundle"]] == [
        {"installed_version": "9", "latest_version": "10", "in_progress": True, "update_percentage": 40},
        {
            "installed_version": "abababababab",
            "latest_version": "abababababab",
            "in_progress": False,
            "update_percentage": None,
        },
    ]
    if config is HELD:
        assert states["energy"] == ["18012.5", "None"]
        assert states["operating_point"] == ["int8", "policy"]
        assert states["policy_paused"] == ["ON", "OFF"]


@pytest.mark.skipif(PYTHON is None, reason="TIDEGATE_HOME_ASSISTANT_PYTHON names no interpreter")
def test_home_assistant_takes_a_config_that_takes_components_back() -> None:
    fewer = taking_back(discovery("cam.1", "0.2.0", "digits", READINGS, (), FURTHER[1:]), lasting(HELD))
    assert fewer is not None
    states = states_in_home_assistant(fewer)
    gone = {name for name, shown in states.items() if shown == "removed"}
    assert gone == {
        "model_plates_point", "model_plates_state", "operating_point", "point_in_force", "policy_paused"
    }  # fmt: skip


def test_every_model_has_ids_of_its_own_that_home_assistant_takes() -> None:
    of_models = [name for name in components(HELD) if name.startswith("model_")]
    assert len(set(of_models)) == 2 * len(FURTHER)
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", name) for name in of_models)
    unique = {component["unique_id"] for component in components(HELD).values()}
    assert len(unique) == len(components(HELD))


def test_what_a_model_can_be_is_what_its_sensor_knows() -> None:
    assert set(MODEL_STATES) == set(LoadState)


def rendered(entity: str, option: str, **told: object) -> str:
    """What Home Assistant makes of a report by an option of an entity: by Jinja, as it does."""
    template = Environment(autoescape=False).from_string(str(components(HELD)[entity][option]))
    report = Reported("0.2.0", **told)  # type: ignore[arg-type]  # named
    return template.render(value_json=json.loads(json.dumps(asdict(report))))


def test_a_model_shows_its_state_its_point_and_why_it_does_not_answer() -> None:
    why = 'engine coreml: "not here" & <never>'
    models = (
        ReportedModel("pla.tes", "loaded", "ab12", "int8"),
        ReportedModel("plates", "failed", None, None, why),
    )
    for name, state, point, reason in (
        ("plates", "failed", "None", why),
        ("pla_2etes", "loaded", "int8", None),
        ("Plates", "None", "None", None),
    ):
        assert rendered(f"model_{name}_state", "value_template", models=models) == state
        assert rendered(f"model_{name}_point", "value_template", models=models) == point
        attributes = json.loads(rendered(f"model_{name}_state", "json_attributes_template", models=models))
        assert attributes["reason"] == reason
    older = Environment(autoescape=False).from_string(
        str(components(HELD)["model_plates_state"]["value_template"])
    )
    assert older.render(value_json={"agent_version": "0.2.0"}) == "None"


def test_what_is_announced_no_longer_is_said_by_its_platform_alone() -> None:
    before = lasting(HELD)
    assert taking_back(HELD, before) is None
    now = discovery("cam.1", "0.2.0", "digits", (), ("full",), FURTHER[1:])
    forgetting = taking_back(now, before)
    assert forgetting is not None
    gone = {name: each for name, each in components(forgetting).items() if name not in components(now)}
    assert gone == {"model_plates_point": {"platform": "sensor"}, "model_plates_state": {"platform": "sensor"}}
    assert {**forgetting, "components": components(now)} == now, "a reading that is not there may come back"


def test_an_entity_of_another_kind_is_taken_back_first() -> None:
    now = discovery("cam.1", "0.2.0", "digits", READINGS, (), FURTHER)
    forgetting = taking_back(now, lasting(HELD))
    assert forgetting is not None
    assert components(forgetting)["operating_point"] == {"platform": "select"}
    assert components(now)["operating_point"]["platform"] == "sensor"


def shown(entity: str, **told: object) -> dict[str, object]:
    """What an update entity shows of a report."""
    found = json.loads(rendered(entity, "value_template", **told))
    assert isinstance(found, dict)
    return found


PUSHED = PolicyState(9, "ab" * 32, "accepted")
NEWER = PolicyState(10, "cd" * 32, "trial")
TAKEN = PastVerdict(9, "ab" * 32, "accepted", 0)


@pytest.mark.parametrize(
    ("told", "installed", "latest", "in_progress"),
    [
        ({}, "abababababab", "abababababab", False),
        ({"bundle_push": PUSHED}, "9", "9", False),
        ({"bundle_push": NEWER}, "abababababab", "10", True),
        ({"bundle_push": replace(NEWER, percent=70)}, "abababababab", "10", True),
        ({"bundle_push": NEWER, "bundle_verdicts": (TAKEN,)}, "9", "10", True),
        ({"bundle_push": replace(NEWER, state="rolled_back"), "bundle_verdicts": (TAKEN,)}, "9", "10", False),
        ({"bundle_push": PUSHED, "bundle_refused": replace(NEWER, state="refused")}, "9", "10", False),
        ({"bundle_push": replace(PUSHED, hash="ee" * 32)}, "abababababab", "9", False),
        ({"bundle": None}, "unknown", "unknown", False),
    ],
    ids=[
        "never pushed",
        "taken",
        "on trial",
        "coming in",
        "over a former",
        "rolled back",
        "refused",
        "replaced by hand",
        "none",
    ],
)
def test_the_bundle_is_an_update_with_what_is_in_force_and_what_came_last(
    told: dict[str, object], installed: str, latest: str, in_progress: bool
) -> None:
    push = told.get("bundle_push")
    percent = push.percent if isinstance(push, PolicyState) else None
    expected = {"installed_version": installed, "latest_version": latest, "in_progress": in_progress}
    assert shown("bundle", **{"bundle": "ab" * 32, **told}) == expected | {"update_percentage": percent}


def test_the_agent_is_an_update_in_progress_while_it_is_on_trial() -> None:
    assert shown("agent") == {"installed_version": "0.2.0", "in_progress": False}
    on_trial = shown("agent", upgrading_from="0.1.0-1a2b3c4d")
    assert on_trial == {"installed_version": "0.1.0-1a2b3c4d", "latest_version": "0.2.0", "in_progress": True}
