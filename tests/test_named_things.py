"""Messages send nobody looking for a key, an option or a command that is not there."""

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from tidegate.cli.main import application
from tidegate.config import AgentConfig
from tidegate.service.command_line import verbs
from tidegate.telemetry.link.trouble import IN_AGENT_YAML, ON_COMMAND_LINE

ROOT = Path(__file__).parent.parent

# Options of other programs that messages advise.
OF_OTHERS = {
    *("--append", "--groups", "--on-calendar", "--user"),
    *re.findall(r"--[a-z-]+(?=\))", (ROOT / "install.sh").read_text()),
    *(option for verb in verbs().values() for action in verb._actions for option in action.option_strings),
}


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of agent.yaml, as it is named in sentences."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part, f"{prefix}{name}.")


def commands(group: Any, path: str = "tidegate") -> Iterator[tuple[str, Any]]:
    yield path, group
    # By attribute: newer releases of typer bring a click of their own, whose classes are others.
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{path} {name}")


KEYS = set(keys(AgentConfig))
COMMANDS = dict(commands(typer.main.get_command(application())))
OPTIONS = {
    option
    for command in COMMANDS.values()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {"--help"}


@cache
def sentences() -> tuple[tuple[str, str], ...]:
    """What `in_sources` finds: all of the sources are parsed for it, and only where these tests run."""
    return tuple(in_sources())


def in_sources() -> Iterator[tuple[str, str]]:
    """Every string with a space in it that is no docstring, with its place; what is filled in stands as {}."""
    for source in sorted((ROOT / "agent").rglob("*.py")):
        tree = ast.parse(source.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
                text = "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                text = node.value if id(node) not in docstrings else ""
            else:
                continue
            if " " in text:
                yield f"{source.relative_to(ROOT)}:{node.lineno}", text


def test_keys_that_messages_name_are_in_agent_yaml() -> None:
    tops = "|".join(sorted({key.split(".")[0] for key in KEYS} | {"listeners", "mqtt"}))
    found = [
        (place, name)
        for place, text in sentences()
        for name in (
            *re.findall(r"set another ([a-z_]+(?:\.[a-z_]+)*)", text),
            *re.findall(rf"(?<![\w./])((?:{tops})\.[a-z_]+(?:\.[a-z_]+)*)(?![\w/(])", text),
        )
    ]
    assert found, "the patterns find nothing any more"
    assert [
        (place, name) for place, name in found if name not in KEYS and not name.endswith((".yaml", ".py"))
    ] == []


def test_the_ways_a_broker_is_set_exist() -> None:
    assert {key for value in asdict(IN_AGENT_YAML).values() for key in value.split(" and ")} <= KEYS
    assert {option for value in asdict(ON_COMMAND_LINE).values() for option in value.split(" and ")} <= OPTIONS


def test_options_that_messages_name_exist() -> None:
    found = [
        (place, option)
        for place, text in sentences()
        for option in re.findall(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*)(?![a-z-])", text)
        if "agent/tidegate_bench/" not in place
    ]
    assert found
    assert [each for each in found if each[1] not in OPTIONS | OF_OTHERS] == []


def test_commands_that_messages_name_exist() -> None:
    found = [
        (place, words)
        for place, text in sentences()
        for words in re.findall(r"`(tidegate(?: [a-z][a-z-]*)+)", text)
    ]
    assert found
    assert [
        (place, words)
        for place, words in found
        if not any(words == known or words.startswith(f"{known} ") for known in COMMANDS if known != "tidegate")
    ] == []
