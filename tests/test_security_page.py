"""Each claim of docs/security.md names tests that exist, by file and name."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "docs" / "security.md").read_text().partition("## What holds\n")[2].partition("\n## ")[0]
CLAIMS = [row.split(" | ") for row in SECTION.splitlines() if row.startswith("| ") and "shown by" not in row]


def defined_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_there_are_claims() -> None:
    assert len(CLAIMS) > 20


@pytest.mark.parametrize(("claim", "shown_by"), CLAIMS, ids=[claim.strip("| ") for claim, _ in CLAIMS])
def test_a_claim_is_shown_by_tests_that_exist(claim: str, shown_by: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown_by)
    assert named, claim
    for file, test in named:
        assert (ROOT / file).is_file(), file
        assert test in defined_in(ROOT / file), test
