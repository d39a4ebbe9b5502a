"""Every command with values that nobody means: a few lines, an exit code of sysexits(3), in our own words."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tidegate.cli.main import application
from tidegate.cli.told import told
from tidegate.validation_words import in_words

ABSURD = {
    "long": "x" * 4000,
    "escape": "a\x1b[31mred\nline",
    "nan": "nan",
    "nowhere": "nowhere/nothing",
    "directory": "folder",
    "junk": "junk.bin",
}
# They serve until they are ended, train, gather for a second, or show whole pages.
LONG = {"run", "demo", "bench", "record", "build", "build-demo", "diag", "man", "docs"}
USAGE_OF_TYPER = 2
"""tidegate.cli.main makes it 64."""
CODES = {0, USAGE_OF_TYPER, 64, 65, 66, 69, 75, 78}
FOREIGN = re.compile("Value error|Input should|pydantic|Traceback|\x1b\\[31m")
MOST_CHARACTERS = 2500


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, each in getattr(command, "commands", {}).items():
        if name not in LONG:
            yield from leaves(each, (*words, name))
    if words and not hasattr(command, "commands"):
        yield words, command


COMMANDS = {" ".join(words): command for words, command in leaves(typer.main.get_command(application()))}


def line(command: Any, absurd: Any, value: str) -> list[str]:
    """The arguments with one absurd value, and others where they are needed."""
    options, arguments = [], []
    for each in command.params:
        if each is not absurd and not each.required and each.name not in {"wait_s", "broker"}:
            continue
        usual = {"wait_s": "0.2", "broker": "127.0.0.1:1"}.get(each.name, "file.txt")
        given = value if each is absurd else usual
        if each.param_type_name == "argument":
            arguments.append(given)
        else:
            options.append(f"{max(each.opts, key=len)}={given}")
    return [*options, "--", *arguments]


@pytest.mark.parametrize("words", COMMANDS)
def test_absurd_values_end_in_a_few_lines(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / "file.txt").write_text("x: 1\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)))
    command, root = COMMANDS[words], application(words.split(maxsplit=1)[0])
    for absurd in command.params:
        if getattr(absurd, "is_flag", False):
            continue
        for kind, value in ABSURD.items():
            typed = [*words.split(), *line(command, absurd, value)]
            monkeypatch.setattr("sys.argv", ["tidegate", *typed])
            done = CliRunner().invoke(root, typed)
            case = f"{words} {absurd.name} {kind}: {done.output[:300]!r}"
            assert isinstance(done.exception, SystemExit | None), f"{case} {done.exception!r}"
            assert done.exit_code in CODES, case
            assert FOREIGN.search(done.output) is None, case
            if words != "doctor":
                assert len(done.output) <= MOST_CHARACTERS, case
            assert "x" * 400 not in done.output, case


def test_of_what_was_typed_a_line_is_shown_and_no_control_code() -> None:
    typed = ["tidegate", "--key", "agent:" + "k" * 1000]
    shown = told(f"{'k' * 1000}: no such key\x1b[2J\nlook at ssh-add -l", typed)
    cut = "k" * 119 + "\N{HORIZONTAL ELLIPSIS}"
    assert shown == f"{cut}: no such key\N{REPLACEMENT CHARACTER}[2J\nlook at ssh-add -l"
    assert len(told("y" * 5000, ())) == 300


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Value error, score 2: allowed are shares", "score 2: allowed are shares"),
        ("Input should be a valid integer, unable to parse string as an integer", "must be a valid integer"),
        ("String should have at least 1 character", "must have at least 1 character"),
        ("Field required", "is missing"),
        ("Value error, it should be a, got b", "it should be a, got b"),
    ],
)
def test_pydantics_words_are_ours(message: str, words: str) -> None:
    assert in_words(message) == words
