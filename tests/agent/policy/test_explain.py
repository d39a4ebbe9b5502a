"""Explanations word for word, and that they agree with what `decide` does."""

from hypothesis import given
from policy_cases import LADDER, NOON, ladders, policies, snapshot, snapshots

from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState
from tidegate.policy.explain import Circumstances, RuleState, explain
from tidegate.policy.policy import Policy
from tidegate.policy.schema import load_policy

POLICY = load_policy(
    """\
tidegate: 1
name: p
version: 1
max_accuracy_loss: 1.5 %
rules:
  - name: hot
    when: {temperature: {above: 80 C, until: 72 C}}
    use: cheapest
    urgent: true
  - name: busy
    when: {cpu: {above: 90 %, until: 60 %, for: 10 s}}
    use: b
  - name: low
    when: {all: [{battery: {below: 20 %, until: 25 %}}, {power_source: battery}]}
    use: a
  - name: night
    between: ["22:00", "06:00"]
    use: cheapest
""",
    "p",
)
CALM = {"temperature": 40, "battery": 60, "power_source": "battery", "cpu": 10}


def told(state, at=0.0, **values):
    return explain(snapshot(at, **(CALM | values)), POLICY, LADDER, state, NOON)


def test_what_would_take_over():
    assert told(ControlState("full")).sentences == (
        "The operating point is full: no rule is in force, because no rule holds.",
        "'hot' would take over when temperature is above 80 C (now 40 C).",
        "'busy' would take over when cpu is above 90 % for 10 s (now 10 %).",
        "'low' would take over when battery is below 20 % (now 60 %).",
        "'night' would take over when the time is between 22:00 and 06:00.",
    )


def test_what_holds_behind_and_what_ends_it():
    told_hot = told(ControlState("full"), temperature=85, battery=15)
    assert [each.state for each in told_hot.rules[:3]] == [
        RuleState.IN_FORCE,
        RuleState.NOT_HOLDING,
        RuleState.BEHIND_ANOTHER,
    ]
    assert "'hot' ends when temperature falls to 72 C (now 85 C)." in told_hot.sentences
    assert "'low' holds too, after it: battery 15 % is below 20 % on battery power." in told_hot.sentences


def test_what_only_a_leave_value_holds():
    held = ControlState("d", holding=frozenset({"rules[0].when.temperature"}))
    explanation = told(held, temperature=76)
    assert explanation.rules[0].state is RuleState.HELD_BY_LEAVE_VALUE
    assert "'hot' would not begin now; its leave value is not reached yet." in explanation.sentences


def test_what_waits_and_what_can_not_be_known():
    waiting = told(ControlState("full", since={"rules[1].when.cpu": 0.0}), at=4.0, cpu=95)
    assert waiting.rules[1].state is RuleState.WAITING
    assert waiting.rules[1].changes == ("cpu stays above 90 % for another 6 s",)
    blind = told(ControlState("full"), temperature=None)
    assert "'hot' can't be known: temperature is unavailable, ignored." in blind.sentences


def test_what_the_dwell_holds_back():
    explanation = told(ControlState("full", switched_at=0.0), at=1.0, battery=10)
    assert explanation.sentences[1] == "Stays at full for another 4 s (dwell down 5 s)."


def test_settings_are_told_with_what_keeps_them_from_being_made():
    policy = Policy("p", 1, 0.02, default_controls={"cpu_governor": "powersave", "platform_profile": "low-power"})

    def said(device):
        return explain(snapshot(), policy, LADDER, ControlState("full"), NOON, device).sentences[1:]

    assert said(None)[0] == "cpu_governor is to be powersave, where agent.yaml lists it under `controls`."
    device = Circumstances(
        {"platform_profile": "the firmware offers none"}, {"d": "it disagreed", "e": "e: not here"}
    )
    assert said(device) == (
        "cpu_governor is to be powersave.",
        "platform_profile would be low-power, but the firmware offers none.",
        "d is off the ladder: it disagreed.",
        "e is off the ladder: not here.",
    )


@given(snapshots(), policies(), ladders())
def test_any_decision_can_be_explained_and_is_the_one_that_is_taken(snap, policy, ladder):
    state = ControlState(ladder.full.name)
    explanation, decision = explain(snap, policy, ladder, state, NOON), decide(snap, policy, ladder, state, NOON)
    assert (explanation.point, explanation.rule, explanation.reason) == (
        decision.point,
        decision.rule,
        decision.reason,
    )
    assert len(explanation.rules) == len(policy.rules)
    in_force = {RuleState.IN_FORCE, RuleState.HELD_BY_LEAVE_VALUE}
    assert sum(each.state in in_force for each in explanation.rules) == (decision.rule is not None)
    assert all(sentence.endswith(".") for sentence in explanation.sentences)
