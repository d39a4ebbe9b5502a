"""`when:` of a push: a condition in the policy language under which a device takes it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from tidegate.documents import DocumentError, Mark, Problem, parse, validate
from tidegate.documents.problem import written
from tidegate.policy.conditions import Evaluation
from tidegate.policy.decision import ControlState
from tidegate.policy.policy import Full, Policy, Rule
from tidegate.policy.schema.conditions import ConditionPart, Names
from tidegate_drivers.reading import Snapshot


@dataclass(frozen=True, slots=True)
class PushCondition:
    """`text` is as it was written, in one line."""

    text: str
    _policy: Policy

    def holds(self, snapshot: Snapshot, now: datetime) -> bool:
        """Whether it holds by these readings; a reading that is missing lets nothing hold that depends on it."""
        evaluation = Evaluation(self._policy, snapshot, ControlState(point=""), now)
        (rule,) = self._policy.rules
        return rule.when is not None and evaluation.truth(rule.when) is True


def read_condition(text: str, name: str) -> PushCondition:
    """The condition in a YAML text such as `{power_source: external}`. Raises DocumentError with `name`."""
    document = parse(text, name)
    part = validate(document, ConditionPart)
    for path, schedule in part.schedules_named():
        mark = document.marks.get(path, Mark(1, 1))
        allowed = 'two times of day: ["22:00", "06:00"]'
        said = "names a schedule, and a push has none"
        raise DocumentError(name, text, [Problem(mark, written(path), said, schedule, allowed)])
    rule = Rule("push", Full(), part.condition("when", Names()))
    return PushCondition(" ".join(text.split()), Policy("push", 1, 1.0, (rule,)))
