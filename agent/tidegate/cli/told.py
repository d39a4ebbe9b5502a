"""What a command says of an error, fit for a terminal: no more than a line of what was typed, no control codes."""

import re
from collections.abc import Sequence
from typing import Any

import typer
from pydantic_core import ValidationError

from tidegate.shortened import shortened
from tidegate.validation_words import in_words

UsageError: Any = typer.BadParameter.__base__
"""typer has a click of its own in some versions; of either it is this class."""
_TYPED_CHARACTERS = 120
_WORD_CHARACTERS = 300
_LONG_WORD = re.compile(rf"\S{{{_WORD_CHARACTERS + 1},}}")


def told(message: str, typed: Sequence[str]) -> str:
    """A message in which long arguments of the command line are cut, and what no terminal shows is replaced."""
    for argument in sorted(typed, key=len, reverse=True):
        # An option's value may be a part of its argument, as in --key=FILE or agent:COMMENT.
        for part in (argument, argument.partition("=")[2], argument.partition(":")[2], argument.strip()):
            if len(part) > _TYPED_CHARACTERS:
                message = message.replace(part, shortened(part, _TYPED_CHARACTERS))
    message = _LONG_WORD.sub(lambda found: shortened(found[0], _WORD_CHARACTERS), message)
    return "".join(
        each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in message
    )


def explain_usage(error: Any, typed: Sequence[str]) -> None:
    """Put a UsageError in our words, with what was found: typer passes on pydantic's."""
    cause = error.__cause__
    message = str(error.message)
    if isinstance(cause, ValidationError):
        first = cause.errors(include_url=False)[0]
        found = f"{first['input']!r}"
        said = in_words(first["msg"])
        # Of a choice the sentence begins with what was found.
        message = said if said.startswith(found) else f"found {found}; it {said}"
    error.message = told(message, typed)
