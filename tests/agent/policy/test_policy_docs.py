"""The page on the language shows what the language is."""

import re
from pathlib import Path

import pytest

from tidegate.documents import DocumentError
from tidegate.policy.schema import load_policy
from tidegate.policy.schema.conditions import ConditionPart
from tidegate_drivers import catalog
from tidegate_drivers.apple import catalog as macos_catalog
from tidegate_drivers.apple.state import NEVER_TOLD
from tidegate_drivers.reading import UNITS as DRIVER_UNITS
from tidegate_drivers.trace import ReplayTrace

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "policy.md").read_text()
PROFILES = ROOT / "profiles"


def test_the_example_is_valid():
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    assert [rule.name for rule in load_policy(example, "docs").rules] == [
        "overheating",
        "battery low",
        "quiet night",
    ]


def test_the_errors_are_those_of_this_version():
    shown = re.search(r"## Errors.*?```\n(.*?)\n```", PAGE, re.DOTALL)[1]
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
    wrong = example.replace(", {thermal_pressure: {at_least: serious}}", "").replace("above: 80 C", "above: 80")
    wrong = wrong.replace("max_accuracy_loss: 1.5 %, max_power", "max_pwer")
    with pytest.raises(DocumentError) as caught:
        load_policy(wrong, "field-camera.yaml")
    assert str(caught.value) == shown


MACOS = [*(catalog.Driver(*each) for each in macos_catalog.MACOS), catalog.HOST]


def test_the_table_of_sources_is_that_of_the_drivers():
    table = PAGE.partition("| condition | Linux |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = {row[1].strip("`"): row[2:5] for row in ([cell.strip() for cell in line.split("|")] for line in table)}
    parts = {field.alias or name for name, field in ConditionPart.model_fields.items()}
    assert cells.keys() == parts - {"any", "all", "not", "time"}
    replayed = ReplayTrace.load(PROFILES / "traces" / "field-camera-day.csv").tracks
    for condition, (linux, macos, demo) in cells.items():
        if condition not in DRIVER_UNITS and not givers(catalog.LINUX, condition):
            said = "MQTT" if condition == "input" else "the worker"
            assert (linux, macos, demo) == (said, said, said)
            continue
        assert names(linux) == givers(catalog.LINUX, condition)
        expected = set() if condition in NEVER_TOLD else givers(MACOS, condition)
        assert names(macos) == expected
        assert (macos == "never") == (not expected)
        assert demo.startswith("replayed") == (condition in replayed)


def names(cell):
    return set(re.findall(r"`(\w+)`", cell))


def givers(drivers, reading):
    """The drivers that offer a reading by discovery, or are refused by its name."""
    meter = {"meter"} if reading == "power" else set()
    return meter | {driver.name for driver in drivers if reading in driver.gives}
