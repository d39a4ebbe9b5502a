"""What a policy would do with other readings: that it is what `decide` does, played on."""

from hypothesis import given
from policy_cases import LADDER, NOON, ladders, policies, snapshot, snapshots

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.schema import load_policy
from tidegate.policy.what_if import HORIZON_S, what_if

POLICY = load_policy(
    """\
tidegate: 1
name: p
version: 1
max_accuracy_loss: 1.5 %
dwell: {down: 5 s, up: 60 s}
rules:
  - name: hot
    when: {temperature: {above: 80 C, until: 72 C, for: 30 s}}
    use: cheapest
  - name: burning
    when: {temperature: {above: 95 C, until: 90 C}}
    use: cheapest
    urgent: true
  - name: rest
    when: {battery: {below: 5 %, until: 8 %}}
    use: pause
  - name: low
    when: {all: [{battery: {below: 20 %, until: 25 %}}, {power_source: battery}]}
    use: a
""",
    "p",
)
CALM = {"temperature": 40, "battery": 60, "power_source": "battery"}


def told(state=None, now=None, **values):
    imagined = {name: float(value) if not isinstance(value, str) else value for name, value in values.items()}
    return what_if(imagined, snapshot(0.0, **(now or CALM)), POLICY, LADDER, state or ControlState("full"), NOON)


def test_nothing_changes_for_the_values_of_now():
    assert told(battery=60).sentence == "It would stay at full (no rule holds)."


def test_a_rule_that_acts_at_once():
    found = told(battery=15)
    assert (found.at_once, found.point, found.after_s, found.rule) == ("a", "a", 0.0, "low")
    assert found.sentence == (
        "It would switch from full to a at once (rule 'low': battery 15 % is below 20 % on battery power)."
    )


def test_what_has_to_last_first_is_waited_for():
    found = told(temperature=85)
    assert (found.at_once, found.point) == ("full", "d")
    assert found.after_s is not None
    assert 45.0 <= found.after_s <= 50.0, "30 s of heat, and a dwell of 5 s at each rung on the way"
    assert found.sentence.startswith("It would be at d after about 4")


def test_a_jump_is_believed_as_an_urgent_rule_believes_it():
    state = decide(snapshot(-1.0, **CALM), POLICY, LADDER, ControlState("full"), NOON).state
    found = told(state, temperature=99)
    assert (found.at_once, found.point, found.after_s) == ("full", "d", 1.0)


def test_the_way_up_goes_rung_by_rung():
    found = told(ControlState("d", switched_at=0.0), temperature=40)
    assert found.point == "full"
    assert found.after_s is not None
    assert 240 <= found.after_s <= 300
    assert found.sentence.startswith("It would be at full after about 4 min")


def test_a_pause_is_no_point():
    assert told(battery=3).sentence.startswith("It would answer no requests (rule 'rest': battery 3 % is below")


def test_a_reading_that_the_device_lacks_can_be_imagined():
    found = told(
        now={"temperature": 40, "battery": None, "power_source": None}, battery=10, power_source="battery"
    )
    assert found.rule == "low"


@given(snapshots(), policies(), ladders())
def test_it_begins_with_the_decision_of_now_and_ends_within_the_ladder(snap, policy, ladder):
    state = ControlState(ladder.full.name)
    found = what_if({}, snap, policy, ladder, state, NOON)
    assert found.at_once == decide(snap, policy, ladder, state, NOON).point
    assert found.point in ladder.names
    assert found.after_s is None or 0 <= found.after_s <= HORIZON_S + 5
    assert found.sentence.endswith(".")
