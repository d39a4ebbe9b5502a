"""The command line as data, for its manual page and its reference."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """An option or an argument: `names` with the placeholder of its value, its help, and its default as text."""

    names: str
    help: str
    default: str | None
    is_argument: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One command that can be typed: its words behind `tidegate`, its usage, what it does, and what it takes."""

    words: str
    usage: str
    help: str
    options: tuple[Option, ...]


def commands(command: Any, words: str = "") -> Iterator[Command]:
    """All commands below `command`, as `typer.main.get_command` gives it, in its order; hidden ones are left out.

    typer has a click of its own in some versions, so none of click's types are named here.
    """
    for name, each in getattr(command, "commands", {}).items():
        path = f"{words} {name}".strip()
        if hasattr(each, "commands"):
            yield from commands(each, path)
        elif not each.hidden:
            yield _command(path, each)


def _command(words: str, command: Any) -> Command:
    shown = [each for each in command.params if not each.hidden and "--help" not in each.opts]
    options = tuple(_option(each) for each in shown)
    arguments = [
        each.names if parameter.required else f"[{each.names}]"
        for each, parameter in zip(options, shown, strict=True)
        if each.is_argument
    ]
    some = ["[OPTIONS]"] if len(arguments) < len(options) else []
    return Command(words, " ".join(("tidegate", words, *some, *arguments)), command.help or "", options)


def _option(parameter: Any) -> Option:
    is_argument = parameter.param_type_name == "argument"
    # Of an option its own name: a parameter may be called otherwise where that is a word of Python's.
    called = parameter.name if is_argument else max(parameter.opts, key=len)
    placeholder = parameter.metavar or called.strip("-_").replace("_", "-").upper()
    if is_argument:
        names = placeholder + ("..." if parameter.nargs != 1 else "")
    else:
        names = ", ".join((*parameter.opts, *parameter.secondary_opts))
        names += "" if parameter.is_flag else f" {placeholder}"
    default = parameter.default
    told = default not in (None, False, True, "", [], ()) and not callable(default)
    return Option(
        names, parameter.help or "", str(getattr(default, "value", default)) if told else None, is_argument
    )
