"""The bundle commands' words and exit codes, where a build is refused or a page is written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.cli.main import application

SHIPPED = Path(__file__).parents[3] / "profiles" / "bundles" / "digits"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere"], "say package.module:function"),
        (["--model", "json:loads", "--risk", "luck"], "allowed are newly_wrong"),
    ],
)
def test_a_build_that_can_not_be_is_refused_with_data_error(
    tmp_path: Path, options: list[str], words: str
) -> None:
    arguments = ["bundle", "build", *options, "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(application(), arguments)
    assert result.exit_code == 65
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.timeout(400)  # a process per point, each of which imports its engine: 37 s on a free machine
def test_a_report_of_the_shipped_bundle_is_one_page(tmp_path: Path) -> None:
    page = tmp_path / "ladder.html"
    result = CliRunner().invoke(application(), ["bundle", "report", str(SHIPPED), "--out", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "int8" in text
