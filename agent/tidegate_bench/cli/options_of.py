"""Commands whose options are the fields of a dataclass, so that each option and its default stand once."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from tidegate_bench.cli.show import JsonOption, QuickOption

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")
Command = Callable[..., None]


def options_of(kind: type[Options]) -> Callable[[Callable[[Options, bool, bool], None]], Command]:
    """Make a command of a function that takes the options, `as_json` and `quick`.

    A field annotated with `typer.Option(...)` has its help and its limits from there.
    """

    def decorate(command: Callable[[Options, bool, bool], None]) -> Command:
        def with_options(*, as_json: bool, quick: bool, **values: Any) -> None:
            command(kind(**values), as_json, quick)

        hints = get_type_hints(kind, include_extras=True)
        defaults = {field.name: field.default for field in fields(kind)} | {"as_json": False, "quick": False}
        hints |= {"as_json": JsonOption, "quick": QuickOption}
        with_options.__name__ = command.__name__
        with_options.__doc__ = command.__doc__
        with_options.__annotations__ = hints
        # What typer reads the options from.
        with_options.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # PEP 362 has it
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
                for name, default in defaults.items()
            ]
        )
        return with_options

    return decorate
