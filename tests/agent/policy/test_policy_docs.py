"""The page on the language shows what the language is."""

import re
from pathlib import Path

import pytest

from agent.documents import DocumentError
from agent.policy.schema import load_policy

PAGE = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()


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
