"""`--help` of every command in 80 columns: no line sticks out, and no word is broken."""

import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tidegate.cli.command_tree import commands
from tidegate.cli.main import application

APP = application()
TREE: Any = typer.main.get_command(APP)
WORDS = [command.words for command in commands(TREE)]
GROUPS = sorted({words.rpartition(" ")[0] for words in WORDS})


def shown(words: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a command's help, without their frame."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", columns)
    done = CliRunner().invoke(APP, [*words.split(), "--help"], prog_name="tidegate")
    assert done.exit_code == 0, done.output
    return [re.sub("[╭╮╰╯│─]", " ", line).rstrip() for line in done.output.splitlines()]


@pytest.mark.parametrize("words", [*GROUPS, *WORDS])
def test_help_fits_80_columns_without_a_broken_word(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = (shown(words, columns, monkeypatch) for columns in (80, 400))
    assert max(map(len, narrow)) <= 80
    told = {word for line in wide for word in line.split()}
    assert [word for line in narrow for word in line.split() if word not in told] == []


def test_a_paragraph_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    paragraph = next(line for line in shown("doctor", 400, monkeypatch) if "With --config" in line)
    assert "what does not work around it." in paragraph
