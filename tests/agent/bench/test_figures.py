"""The form of figures: goals met, missed and not measured, and one JSON line."""

import json

from tidegate_bench.figures import Figures, Goal


def test_goals_compare_in_their_direction_and_unknown_is_a_miss() -> None:
    assert Goal("switches", 3, 3).met
    assert not Goal("switches", 3, 2).met
    assert Goal("failed", 0, 0, at_least=False).met
    assert not Goal("failed", 0, 1, at_least=False).met
    assert not Goal("failed", 0, None, at_least=False).met


def test_the_line_has_the_agreed_form() -> None:
    figures = Figures("demo", [{"a": 1}], [Goal("a", 2, 1), Goal("b", 2, 1, at_least=False)])
    document = json.loads(figures.to_json())
    assert document["bench"] == "demo"
    assert document["rows"] == [{"a": 1}]
    assert document["goals"] == [
        {"goal": "a", "target": 2, "value": 1, "sense": ">=", "met": False},
        {"goal": "b", "target": 2, "value": 1, "sense": "<=", "met": True},
    ]
    assert document["machine"]["cores"] >= 1
