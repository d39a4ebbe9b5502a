"""One root for what a user can act on: each error states the exit code, and the command line has one handler."""

import ast
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tidegate.cli.main import Commands
from tidegate.errors import EX_DATAERR, EX_SOFTWARE, EX_UNAVAILABLE, TidegateError

AGENT = Path(__file__).parents[2] / "agent"
BETWEEN_PARTS = {"NonsenseError", "NotYetError", "SpoolDamagedError", "WrongStateError"}
"""Told to another part of ours, which deals with it; no user ever reads one."""


def error_classes() -> list[tuple[str, ast.ClassDef]]:
    return [
        (str(source.relative_to(AGENT)), node)
        for source in sorted(AGENT.rglob("*.py"))
        if "Error(" in (text := source.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error") and not node.name.startswith("_")
    ]


def test_every_error_for_a_user_has_the_root_and_states_its_exit_code() -> None:
    classes = [(where, each) for where, each in error_classes() if each.name != "TidegateError"]
    assert len(classes) > 20
    ours = {"TidegateError", *(each.name for _, each in classes)} - BETWEEN_PARTS
    for where, each in classes:
        if each.name in BETWEEN_PARTS:
            continue
        bases = {base.id for base in each.bases if isinstance(base, ast.Name)}
        stated = {target.id for line in each.body if isinstance(line, ast.Assign) for target in line.targets}  # type: ignore[attr-defined]  # names
        assert bases & ours, f"{where}: {each.name} has another root"
        assert "exit_code" in stated, f"{where}: {each.name} states no exit code"


class RefusedError(TidegateError):
    exit_code = EX_DATAERR


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (RefusedError("the [file] is none"), EX_DATAERR, "the [file] is none\n"),
        (TidegateError("unstated"), EX_SOFTWARE, "unstated\n"),
        (ModuleNotFoundError("no torch", name="torch"), EX_UNAVAILABLE, "torch is missing; install it: "),
    ],
)
def test_an_error_ends_a_command_with_its_message_and_code(error: Exception, code: int, told: str) -> None:
    app = typer.Typer(cls=Commands)

    @app.command()
    def ask() -> None:
        raise error

    @app.command()
    def other() -> None:
        """A second one makes it a group."""

    result = CliRunner().invoke(app, ["ask"])
    assert result.exit_code == code
    assert result.stderr.startswith(told)
    assert result.stdout == ""


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    app = typer.Typer(cls=Commands)

    @app.command()
    def ask() -> None:
        raise ModuleNotFoundError("no tidegate.gone", name="tidegate.gone")

    @app.command()
    def other() -> None:
        """A second one makes it a group."""

    assert isinstance(CliRunner().invoke(app, ["ask"]).exception, ModuleNotFoundError)
