"""Layers: what a policy leaves out comes from below, and every value and every error knows its file."""

import pytest

from tidegate.boards.profile import load_profile
from tidegate.documents import DocumentError, parse
from tidegate.policy.policy import Assumption, Full
from tidegate.policy.schema import load_layers, load_policy

BOARD = """\
tidegate_board: 1
name: test-board
title: A board for tests
facts: [{fact: it throttles at 85 C, source: this test}]
limits: {throttle: 85 C, spare: 256 MiB}
zones: {gpu: gpu-thermal}
policy:
  on_missing: {battery: ignore, temperature: assume_hot}
  dwell: {up: 90 s}
device:
  {idle: 3 W, active: 2 W, heat_k_per_w: 5, heat_span: 200 s, throttle: 85 C, throttle_release: 80 C, supply: 15 W}
"""
LOCAL = """\
tidegate: 1
name: local
version: 1
max_accuracy_loss: 5 %
default: {use: {max_accuracy_loss: 3 %}}
on_missing: {battery: assume_low}
"""
PUSHED = """\
tidegate: 1
name: pushed
version: 2
max_accuracy_loss: 4 %
rules:
  - name: hot
    when: {temperature: {zone: gpu, above: board.throttle - 10 C, until: board.throttle - 18 C}}
    use: cheapest
"""


def board():
    return load_profile(BOARD, "board.yaml").board


def test_each_layer_fills_what_the_ones_above_leave_out():
    layered = load_layers(parse(PUSHED, "pushed.yaml"), board(), [parse(LOCAL, "local.yaml")])
    policy = layered.policy
    assert (policy.name, policy.version, policy.max_accuracy_loss) == ("pushed", 2, 0.04)
    assert policy.default.max_accuracy_loss == 0.03
    assert (policy.dwell.down_s, policy.dwell.up_s) == (5.0, 90.0)
    assert policy.on_missing["battery"] is Assumption.LOW
    assert policy.on_missing["temperature"] is Assumption.HOT
    (leaf,) = policy.leaves
    assert (leaf.reading, leaf.enter, leaf.leave) == ("temperature/gpu-thermal", 75.0, 67.0)


def test_every_value_knows_the_line_it_came_from():
    layered = load_layers(parse(PUSHED, "pushed.yaml"), board(), [parse(LOCAL, "local.yaml")])
    places = {each.path: (each.file, each.mark.line) for each in layered.origins}
    assert places["name"] == ("pushed.yaml", 2)
    assert places["default.use.max_accuracy_loss"] == ("local.yaml", 5)
    assert places["on_missing.battery"] == ("local.yaml", 6)
    assert places["on_missing.temperature"] == ("board.yaml", 8)
    assert places["dwell.up"] == ("board.yaml", 9)
    assert places["rules[0].when.temperature.zone"] == ("pushed.yaml", 7)


def test_a_value_from_below_that_no_longer_fits_is_shown_where_it_stands():
    tighter = PUSHED.replace("4 %", "1 %")
    with pytest.raises(DocumentError) as caught:
        load_layers(parse(tighter, "pushed.yaml"), board(), [parse(LOCAL, "local.yaml")])
    assert str(caught.value).splitlines()[:2] == [
        "local.yaml:5:36: default.use.max_accuracy_loss: above the ceiling",
        "   5 | default: {use: {max_accuracy_loss: 3 %}}",
    ]


def test_an_unknown_limit_names_the_nearest():
    with pytest.raises(DocumentError) as caught:
        load_policy(PUSHED.replace("board.throttle - 10", "board.throtle - 10"), "pushed.yaml", board())
    (problem,) = caught.value.problems
    assert (problem.allowed, problem.nearest) == ("board.throttle, board.spare", "board.throttle")


def test_a_limit_of_another_dimension_is_refused():
    with pytest.raises(DocumentError, match="expected a temperature, this is an amount of memory"):
        load_policy(PUSHED.replace("board.throttle - 10 C", "board.spare"), "pushed.yaml", board())


def test_without_layers_nothing_is_added():
    policy = load_policy(LOCAL.replace("{use: {max_accuracy_loss: 3 %}}", "{use: full}"), "local.yaml")
    assert policy.default == Full()
    assert policy.dwell.up_s == 60.0


@pytest.mark.parametrize(
    ("right", "wrong", "where"),
    [
        ("dwell: {up: 90 s}", "dwell: {upp: 90 s}", "board.yaml:9:11: dwell.upp: unknown key"),
        (
            "limits: {throttle: 85 C",
            "limits: {throttle: 85",
            "board.yaml:5:20: limits.throttle: expected a quantity",
        ),
        ("source: this test", "source: ''", "board.yaml:4:46: facts[0].source: empty"),
        ("throttle_release: 80 C", "throttle_release: 90 C", "board.yaml:11"),
    ],
)
def test_wrong_profiles_are_refused_where_they_are_wrong(right, wrong, where):
    assert BOARD.count(right) == 1
    with pytest.raises(DocumentError) as caught:
        load_profile(BOARD.replace(right, wrong), "board.yaml")
    assert str(caught.value).startswith(where)
