"""Settings of the device in a policy: the rule in force says them, as data, in the form the kernel takes."""

import pytest
from policy_cases import LADDER, NOON, snapshot

from tidegate.config import ControlName
from tidegate.documents import DocumentError, parse
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.schema import load_layers, load_policy
from tidegate.policy.schema.controls import ControlsPart
from tidegate_drivers.controls.control import NAMES

TEXT = """\
tidegate: 1
name: p
version: 1
max_accuracy_loss: 5 %
default: {use: full, controls: {platform_profile: balanced}}
rules:
  - name: hot
    when: {temperature: {above: 80 C, until: 72 C}}
    use: cheapest
    controls: {cpu_governor: powersave, cpu_max_frequency: 1.2 GHz, platform_profile: low-power}
  - name: warm
    when: {temperature: {above: 60 C, until: 55 C}}
    use: full
"""


def test_the_rule_in_force_alone_says_what_is_set():
    policy, state = load_policy(TEXT, "p"), ControlState("full")
    wanted = []
    for at, celsius in enumerate((40, 85, 75, 70, 40)):
        decision = decide(snapshot(at, temperature=celsius), policy, LADDER, state, NOON)
        state = decision.state
        wanted.append((decision.rule, dict(decision.controls)))
    hot = {"cpu_governor": "powersave", "cpu_max_frequency": "1200000", "platform_profile": "low-power"}
    always = {"platform_profile": "balanced"}
    assert wanted == [(None, always), ("hot", hot), ("hot", hot), ("warm", {}), (None, always)]


def test_policy_configuration_and_drivers_know_the_same_controls():
    assert tuple(ControlsPart.model_fields) == NAMES == ControlName.__args__


def test_a_default_comes_whole_from_one_layer_and_says_its_origin():
    top = "tidegate: 1\nname: top\nversion: 2\nmax_accuracy_loss: 5 %\n"
    layered = load_layers(parse(top, "top.yaml"), below=[parse(TEXT, "below.yaml")])
    assert layered.policy.default_controls == {"platform_profile": "balanced"}
    places = {each.path: (each.value, each.file, each.mark.line) for each in layered.origins}
    assert places["default.controls.platform_profile"] == ("balanced", "below.yaml", 5)
    assert places["rules[0].controls.cpu_max_frequency"] == ("1.2 GHz", "below.yaml", 10)
    over = load_layers(parse(top + "default: {use: full}\n", "top.yaml"), below=[parse(TEXT, "below.yaml")])
    assert over.policy.default_controls == {}


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        (
            "cpu_governor: powersave",
            "cpu_govenor: powersave",
            """\
p.yaml:10:16: rules[0].controls.cpu_govenor: unknown key
  10 |     controls: {cpu_govenor: powersave, cpu_max_frequency: 1.2 GHz, pl...
     |                ^^^^^^^^^^^
     found: cpu_govenor
     allowed: cpu_governor, cpu_max_frequency, platform_profile
     nearest: cpu_governor""",
        ),
        (
            "1.2 GHz",
            "1200",
            """\
p.yaml:10:60: rules[0].controls.cpu_max_frequency: a frequency needs its unit
  10 |     controls: {cpu_governor: powersave, cpu_max_frequency: 1200, plat...
     |                                                            ^^^^
     found: 1200
     allowed: a number followed by MHz or GHz or kHz
     hint: write `1200 MHz`""",
        ),
        (
            "{platform_profile: balanced}",
            "{}",
            """\
p.yaml:5:32: default.controls: no controls
   5 | default: {use: full, controls: {}}
     |                                ^^
     found: an empty mapping
     allowed: cpu_governor, cpu_max_frequency, platform_profile""",
        ),
    ],
)
def test_mistakes(right, wrong, message):
    assert TEXT.count(right) == 1
    with pytest.raises(DocumentError) as caught:
        load_policy(TEXT.replace(right, wrong), "p.yaml")
    assert str(caught.value) == message
