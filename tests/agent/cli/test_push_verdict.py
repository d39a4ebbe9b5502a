"""What a push to many says: each reason once, with the devices that gave it."""

from tidegate.cli.push_verdict import NAMED, _group_verdict
from tidegate.fleet.push import GroupPushResult

UNKNOWN = "signed by a key that is not trusted here"


def said(refused: dict[str, str], silent: dict[str, str] | None = None) -> tuple[list[str], int]:
    result = GroupPushResult(("a", "b"), refused, silent or {}, 7, "ab", 2.0)
    text, code = _group_verdict("night 7", "group", result)
    return text.splitlines(), code


def test_devices_that_refuse_for_one_reason_share_a_line() -> None:
    refused = {"gate-1": "it has\nexpired", "gate-3": UNKNOWN, "gate-7": UNKNOWN}
    assert said(refused, {"gate-9": "offline"}) == (
        [
            "night 7: 2 of 6 took it after 2.0 s",
            "3 refused:",
            f"  gate-3, gate-7: {UNKNOWN}",
            "  gate-1: it has expired",
            "1 silent:",
            "  gate-9: offline",
        ],
        65,
    )


def test_of_very_many_the_first_are_named() -> None:
    lines, _ = said({f"gate-{number}": "late" for number in range(NAMED + 5)} | {"cam": "full"})
    assert lines[2].startswith("  gate-0, gate-1, ")
    assert lines[2].endswith(" and 5 more: late")
    assert lines[3:] == [f"  {NAMED} of {NAMED + 6} are named; `tidegate fleet status` shows all"]
