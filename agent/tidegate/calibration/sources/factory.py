"""A torch module that a function of the user's makes: `package.module:factory`, or with literal arguments."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from tidegate.calibration.progress import Progress
from tidegate.calibration.sources.source import ModelSource, SourceError, module_source
from tidegate.calibration.users_code import UsersCodeError, find_function


def open_factory(text: str, progress: Progress) -> ModelSource:
    """The module that the function returns, called once, with literals as arguments. Raises SourceError."""
    path, arguments, by_name = call_of(text)
    try:
        factory = find_function(path, Path.cwd())
        progress(f"model: {text} in {factory.file}")
        made = factory(*arguments, **by_name)
    except UsersCodeError as error:
        raise SourceError(f"--model {text}: {error}") from error
    if not isinstance(made, nn.Module):
        raise SourceError(f"--model {text}: returned {type(made).__name__}, needed is a torch.nn.Module")
    return replace(module_source(made), text=text)


def call_of(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The path and the arguments in `net:make(3, width=0.5)`. Raises SourceError unless they are literals."""
    path, opening, rest = text.partition("(")
    if not opening:
        return text, [], {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        arguments, by_name = _literals(call)
    except (SyntaxError, ValueError) as error:
        raise SourceError(
            f"--model {text}: its arguments can't be read; allowed are literals (numbers, texts in quotes, lists, "
            "True, False, None), such as package.module:factory(10, width=0.5)"
        ) from error
    return path, arguments, by_name


def _literals(call: ast.expr) -> tuple[list[Any], dict[str, Any]]:
    """Raises ValueError for anything but one call with literals."""
    if (
        not isinstance(call, ast.Call)
        or isinstance(call.func, ast.Call)
        or any(k.arg is None for k in call.keywords)
    ):
        raise ValueError("is not one call")
    by_name = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    return [ast.literal_eval(argument) for argument in call.args], by_name
