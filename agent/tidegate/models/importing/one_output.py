"""A module that gives one tensor, of those that give several: in a dict, a tuple or a dataclass."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tidegate.models.importing.lowering.reader import ExportError

_PREFERRED = ("logits", "out", "pooler_output")
"""What answers are called where there are several outputs: by transformers, torchvision, transformers."""


def with_one_output(module: nn.Module, example: Tensor, output: str | None) -> tuple[nn.Module, str | None]:
    """The module, or one of the same parts that gives one of its outputs alone; and that output's name, if so.

    `output` is a key, a field or a place such as `0`, or several with commas, whose tensors are joined;
    without it the answer is taken by its usual name, else the first. Raises ExportError naming the outputs, and
    whatever the module's own code raises.
    """
    with torch.no_grad():
        given = a_copy(module)(example)
    if isinstance(given, Tensor):
        if output is not None:
            raise ExportError(f"--output {output}: the model gives one tensor; leave the option out")
        return module, None
    named = _named(given)
    if not named:
        raise ExportError(f"the model gives {type(given).__name__}, with no tensor in it; needed is one tensor")
    chosen = (
        output if output is not None else next((name for name in _PREFERRED if name in named), next(iter(named)))
    )
    names = (chosen,) if chosen in named else tuple(chosen.split(","))
    if not set(names) <= named.keys():
        raise ExportError(f"--output {chosen}: the model gives {', '.join(named)}")
    alone = copy.copy(module)
    # A class of its own, so that a copy runs its own parts; a wrapper around the module would rename them all.
    original = type(module)

    def one(self: nn.Module, x: Tensor) -> Tensor:
        given = _named(original.forward(self, x))
        return joined([given[name] for name in names])

    alone.__class__ = type(original.__name__, (original,), {"forward": one})
    return alone, chosen


def joined(outputs: Sequence[Tensor]) -> Tensor:
    """One output as it is; several flattened per sample, one behind the other: (samples, numbers)."""
    return outputs[0] if len(outputs) == 1 else torch.cat([each.flatten(1) for each in outputs], 1)


def a_copy(module: nn.Module) -> nn.Module:
    """A copy, since running a module may change it; the module itself where it can't be copied."""
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError):
        return module


def _named(given: Any, prefix: str = "") -> dict[str, Tensor]:
    """The tensors in an output by their names; those of what is nested behind a dot."""
    if isinstance(given, Tensor):
        return {prefix.removesuffix("."): given}
    parts: Mapping[str, Any] = {}
    if isinstance(given, Mapping):
        parts = {str(key): value for key, value in given.items()}
    elif is_dataclass(given) and not isinstance(given, type):
        parts = {field.name: getattr(given, field.name) for field in fields(given)}
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        names = getattr(given, "_fields", [str(place) for place in range(len(given))])
        parts = dict(zip(names, given, strict=True))
    found: dict[str, Tensor] = {}
    for name, value in parts.items():
        found |= _named(value, f"{prefix}{name}.")
    return found
