"""A device as Home Assistant discovers it: one retained message with all of its entities.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload, as of 2025.4.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from tidegate.telemetry.topics import DeviceTopics

STATUS = "homeassistant/status"
"""Where Home Assistant says `online` when it has started, and has forgotten what it was told before."""
FOLLOW = "policy"
"""What the select shows and sends while the policy decides."""

MODEL_STATES = ("loading", "loaded", "unloaded", "evicted", "failed")
"""What a model beside the main one can be, by `reported`; Home Assistant takes no other for its sensor."""

Component = dict[str, object]

_READINGS: dict[str, Component] = {
    "battery": {"name": "Battery", "device_class": "battery", "unit_of_measurement": "%"},
    "temperature": {"name": "Temperature", "device_class": "temperature", "unit_of_measurement": "°C"},
    "power": {"name": "Power", "device_class": "power", "unit_of_measurement": "W"},
}


def discovery_topic(device: str) -> str:
    """Where the device's config is retained; Home Assistant takes letters, digits, '_' and '-' alone there."""
    return f"homeassistant/device/{_object_id(device)}/config"


def _object_id(device: str) -> str:
    return f"tidegate_{_escaped(device)}"


def _escaped(name: str) -> str:
    """What ids may hold, other names for other names."""
    return re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):02x}", name)


def discovery(
    device: str,
    version: str,
    model: str,
    readings: Collection[str],
    may_hold: Sequence[str],
    further: Sequence[str] = (),
) -> dict[str, object]:
    """The config: sensors of the `readings` there are, a select and a switch where points `may_hold`.

    `energy` among the readings stands for the joules that windows count; `further` are the models beside `model`.
    """
    topics, unique = DeviceTopics(device), _object_id(device)
    components: dict[str, Component] = {
        name: {
            **facts,
            "platform": "sensor",
            "state_class": "measurement",
            "state_topic": topics.telemetry,
            # What a window leaves out is unknown, which Home Assistant spells None.
            "value_template": f"{{{{ (value_json.r | default({{}})).{name} | default(none) }}}}",
        }
        for name, facts in _READINGS.items()
        if name in readings
    }
    if "energy" in readings:
        components["energy"] = {
            "name": "Energy",
            "platform": "sensor",
            "device_class": "energy",
            "unit_of_measurement": "J",
            "state_class": "total_increasing",
            "state_topic": topics.telemetry,
            "value_template": "{{ value_json.et | default(none) }}",
        }
    components |= _of_report(topics)
    components |= _controls(topics, may_hold) if may_hold else _shown_point(topics)
    for each in further:
        components |= _of_model(topics, each)
    for name, component in components.items():
        component["unique_id"] = f"{unique}_{name}"
    return {
        "device": {
            "identifiers": [unique],
            "name": device,
            "manufacturer": "tidegate",
            "model": model,
            "sw_version": version,
        },
        "origin": {"name": "tidegate", "sw_version": version},
        "availability": [
            {
                "topic": topics.status,
                "value_template": "{{ value_json.state }}",
                "payload_available": "online",
                "payload_not_available": "offline",
            }
        ],
        "components": components,
    }


def lasting(config: Mapping[str, object]) -> dict[str, str]:
    """The platforms of a config's components by their ids, without readings: one that is gone may come back."""
    found = cast("dict[str, Component]", config["components"])
    fleeting = {*_READINGS, "energy"}
    return {name: str(each["platform"]) for name, each in found.items() if name not in fleeting}


def taking_back(config: Mapping[str, object], announced: Mapping[str, str]) -> dict[str, object] | None:
    """The config that has Home Assistant forget the components, platforms by ids, that were `announced` and no
    longer are; None for none. What is said next leaves them out.
    """
    now = lasting(config)
    gone = {name: {"platform": platform} for name, platform in announced.items() if now.get(name) != platform}
    components = cast("dict[str, Component]", config["components"])
    return {**config, "components": {**components, **gone}} if gone else None


def _of_model(topics: DeviceTopics, name: str) -> dict[str, Component]:
    """Of a model beside the main one: no id is another model's, since escaped names have hex digits behind '_'."""
    found = f"value_json.models | default([], true) | selectattr('name', 'equalto', {json.dumps(name)}) | list"
    told = f"{{% set told = ({found} | first) | default({{}}, true) %}}"
    return {
        f"model_{_escaped(name)}_point": {
            "platform": "sensor",
            "name": f"Model {name} operating point",
            "state_topic": topics.reported,
            "value_template": f"{told}{{{{ told.operating_point | default(none, true) }}}}",
        },
        f"model_{_escaped(name)}_state": {
            "platform": "sensor",
            "name": f"Model {name}",
            "device_class": "enum",
            "options": list(MODEL_STATES),
            "entity_category": "diagnostic",
            "state_topic": topics.reported,
            "value_template": f"{told}{{{{ told.state | default(none, true) }}}}",
            "json_attributes_topic": topics.reported,
            "json_attributes_template": (
                f"{told}{{{{ {{'reason': told.reason | default(none, true), "
                "'bundle': told.bundle | default(none, true)} | tojson }}"
            ),
        },
    }


def _of_report(topics: DeviceTopics) -> dict[str, Component]:
    return {
        "certified_risk": {
            "platform": "sensor",
            "name": "Certified risk",
            "unit_of_measurement": "%",
            "state_topic": topics.reported,
            "value_template": (
                "{{ none if value_json.certified_risk is none else (value_json.certified_risk * 100) | round(3) }}"
            ),
        },
        "accuracy_guard": {
            "platform": "binary_sensor",
            "name": "Accuracy guard",
            "device_class": "problem",
            "state_topic": topics.reported,
            "value_template": "{{ 'ON' if value_json.demoted else 'OFF' }}",
        },
        "agent": {
            "platform": "update",
            "name": "Agent",
            "title": "tidegate",
            "entity_category": "diagnostic",
            "state_topic": topics.reported,
            "value_template": _AGENT,
        },
        "bundle": {
            "platform": "update",
            "name": "Bundle",
            "title": "model",
            "entity_category": "diagnostic",
            "state_topic": topics.reported,
            "value_template": _BUNDLE,
        },
    }


# Which version is the newest nobody tells a device. The one that failed its trial is newer; while one is on trial,
# the one before it is what is installed.
_AGENT = (
    "{% set before = value_json.upgrading_from | default(none, true) %}"
    "{% set failed = value_json.failed_upgrade | default(none, true) %}"
    '{"installed_version": "{{ before or value_json.agent_version }}"'
    '{% if before %}, "latest_version": "{{ value_json.agent_version }}"'
    '{% elif failed %}, "latest_version": "{{ failed.version }}"{% endif %}'
    ", \"in_progress\": {{ 'true' if before else 'false' }}}"
)

# Installed is what is in force: the version of a pushed bundle; of agent.yaml's the beginning of its hash, which
# names it. The latest is the last push, also one that is still coming in or was not taken.
_BUNDLE = (
    "{% set push = value_json.bundle_push | default(none, true) %}"
    "{% set last = value_json.bundle_refused | default(push, true) %}"
    "{% set told = ([push] if push else []) + (value_json.bundle_verdicts | default([], true)) %}"
    "{% set taken = told | selectattr('state', 'equalto', 'accepted')"
    " | selectattr('hash', 'equalto', value_json.bundle) | map(attribute='version') | list %}"
    "{% set installed = taken[0] | string if taken else (value_json.bundle or 'unknown')[:12] %}"
    '{"installed_version": "{{ installed }}", '
    '"latest_version": "{{ last.version if last else installed }}", '
    "\"in_progress\": {{ 'true' if push and push.state == 'trial' else 'false' }}, "
    "\"update_percentage\": {{ push.percent | default(none) | tojson if push else 'null' }}}"
)


def _shown_point(topics: DeviceTopics) -> dict[str, Component]:
    return {
        "operating_point": {
            "platform": "sensor",
            "name": "Operating point",
            "state_topic": topics.reported,
            "value_template": "{{ value_json.operating_point }}",
        }
    }


def _controls(topics: DeviceTopics, may_hold: Sequence[str]) -> dict[str, Component]:
    held_at = "(value_json.held_at | default(none, true))"
    return {
        "operating_point": {
            "platform": "select",
            "name": "Operating point",
            "options": [FOLLOW, *may_hold],
            "state_topic": topics.reported,
            "value_template": f"{{{{ {held_at} or '{FOLLOW}' }}}}",
            "command_topic": topics.hold,
        },
        "point_in_force": {
            "platform": "sensor",
            "name": "Operating point in force",
            "state_topic": topics.reported,
            "value_template": "{{ value_json.operating_point }}",
        },
        "policy_paused": {
            "platform": "switch",
            "name": "Policy paused",
            "state_topic": topics.reported,
            "value_template": f"{{{{ 'ON' if {held_at} else 'OFF' }}}}",
            "state_on": "ON",
            "state_off": "OFF",
            "payload_on": "here",
            "payload_off": FOLLOW,
            "command_topic": topics.hold,
        },
    }
