"""The policies of docs/policy-examples.md are valid without a warning, and each plays its day."""

import json
import re
from pathlib import Path

import pytest
from here import tidegate_here

from tidegate.paths import profiles_directory

PAGE = (Path(__file__).parent.parent / "docs" / "policy-examples.md").read_text()
EXAMPLES = re.findall(
    r"^<!-- simulated on (\S+) with (\S+) -->\n```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
BUNDLE = profiles_directory() / "bundles" / "digits"


def test_every_policy_of_the_page_names_its_board_and_its_day() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") == 4


each_example = pytest.mark.parametrize(
    ("board", "trace", "text"), EXAMPLES, ids=[re.findall(r"name: (\S+)", text)[0] for *_, text in EXAMPLES]
)


@each_example
def test_an_example_is_valid_without_a_warning(board: str, trace: str, text: str, tmp_path: Path) -> None:
    assert day_of(trace).is_file()
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    checked = tidegate_here("policy", "check", policy, "--board", board, "--ladder", BUNDLE)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "warning" not in checked.stdout


@pytest.mark.slow
@each_example
def test_an_example_answers_all_day_and_moves(board: str, trace: str, text: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(text)
    played = tidegate_here(
        *("policy", "simulate", "--policy", policy, "--device", board, "--trace", day_of(trace), "--json")
    )
    assert played.returncode == 0, played.stderr
    (totals,) = json.loads(played.stdout.splitlines()[-1]).values()
    assert totals["answered"] > 0.9 * totals["asked"]
    assert totals["dead_s"] == totals["throttled_s"] == 0
    assert totals["switches"] > 0


def day_of(trace: str) -> Path:
    return profiles_directory() / "traces" / f"{trace}.csv"
