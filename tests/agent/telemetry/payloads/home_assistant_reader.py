"""Reads a discovery message by Home Assistant's own code, in an interpreter that has it; prints
what its entities show.

Its templates are rendered with a window and a report that know much, and with ones that know little. What has a
platform alone is `removed`.
"""

import asyncio
import json
import sys
import tempfile

from homeassistant.components.mqtt import binary_sensor, select, sensor, switch, update
from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA, SHARED_OPTIONS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.helpers.template import Template

SCHEMAS = {
    "binary_sensor": binary_sensor.DISCOVERY_SCHEMA,
    "select": select.DISCOVERY_SCHEMA,
    "sensor": sensor.DISCOVERY_SCHEMA,
    "switch": switch.DISCOVERY_SCHEMA,
    "update": update.DISCOVERY_SCHEMA,
}
WINDOWS = (
    {"v": 1, "t": 1.0, "r": {"battery": 81, "temperature": 32.7, "power": 6}, "et": 18012.5},
    {"v": 1, "t": 1.0},
)
REPORTS = (
    {
        "agent_version": "0.2.0",
        "operating_point": "int8",
        "certified_risk": 0.015,
        "demoted": ["skip"],
        "failed_upgrade": {"version": "0.3.0"},
        "held_at": "int8",
        "bundle": "ab" * 32,
        "bundle_push": {"version": 10, "hash": "cd" * 32, "state": "trial", "percent": 40},
        "bundle_verdicts": [
            {"version": 9, "hash": "ab" * 32, "state": "accepted"},
            {"version": 8, "hash": "ab" * 32, "state": "accepted"},
        ],
        "models": [
            {"name": "pla.tes", "state": "loaded", "bundle": "cd34", "operating_point": "int8", "reason": ""},
            {
                "name": "plates",
                "state": "evicted",
                "bundle": "ab12",
                "operating_point": None,
                "reason": "it made room for faces",
            },
        ],
    },
    {
        "agent_version": "0.2.0",
        "upgrading_from": "0.1.0-1a2b3c4d",
        "operating_point": "full",
        "certified_risk": None,
        "demoted": [],
        "failed_upgrade": None,
        "held_at": None,
        "bundle": "ab" * 32,
        "bundle_push": None,
    },
)


async def main(directory: str) -> None:
    home_assistant = HomeAssistant(directory)
    frame.async_setup(home_assistant)
    read = json.loads(sys.stdin.read())
    # As its discovery does: checked as a whole, then each component with the options that they share.
    DEVICE_DISCOVERY_SCHEMA(read)
    states = {}
    for name, component in read["components"].items():
        if component.keys() == {"platform"}:
            # As its discovery has it: a component with nothing but its platform is removed.
            states[name] = "removed"
            continue
        whole = {option: read[option] for option in SHARED_OPTIONS if option in read} | component
        SCHEMAS[whole.pop("platform")](whole)
        payloads = WINDOWS if component["state_topic"].endswith("/telemetry") else REPORTS

        def rendered(text: str, payloads: tuple[object, ...] = payloads) -> list[object]:
            template = Template(text, home_assistant)
            return [
                template.async_render_with_possible_json_value(json.dumps(payload), error_value="error")
                for payload in payloads
            ]

        states[name] = rendered(component["value_template"])
        if "json_attributes_template" in component:
            states[f"{name} attributes"] = rendered(component["json_attributes_template"])
    sys.stdout.write(json.dumps(states) + "\n")


with tempfile.TemporaryDirectory() as created:
    asyncio.run(main(created))
