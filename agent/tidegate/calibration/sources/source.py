"""A model before it is exported, and by what its graph is checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from tidegate.engines.engine import Array
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.importing.export import in_float32


class SourceError(TidegateError):
    """A model can't be had; the message says where, what was found and what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as it was given.

    `module` makes it for inputs of a shape, per sample, with one of several outputs by name. `answers`, where
    there is one, is what another runtime says to inputs (n, *input shape): (n, *output shape).
    `classes` are their names, where the model brings them. `whole` says whether it takes whole numbers; None is
    for models that don't say.
    """

    text: str
    module: Callable[[Sequence[int], str | None], nn.Module]
    answers: Callable[[str | None], Callable[[Array], Array] | None] | None = None
    classes: tuple[str, ...] = ()
    whole: bool | None = None


def module_source(module: nn.Module) -> ModelSource:
    """A torch module that is there already, called by its class in messages."""
    ready = in_float32(module.eval())

    def of(_shape: Sequence[int], output: str | None) -> nn.Module:
        del output  # of torch modules it is chosen by what they return
        return ready

    return ModelSource(type(module).__name__, of)
