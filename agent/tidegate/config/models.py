"""Models beside the main one, which `bundle` names."""

from typing import Literal

from pydantic import Field

from tidegate.config.part import Part
from tidegate.config.values import FilePath, TopicLevel
from tidegate.documents import refuse
from tidegate.quantities.units import Share

EngineName = Literal[
    "auto",
    "onnx",
    "litert",
    "mlx",
    "coreml",
    "coreai",
    "eager",
    "coreml-gpu",
    "coreml-cpu",
    "coreai-gpu",
    "mps",
    "mps-fp16",
]
MOST = 8
"""Models beside the main one: each has a queue of its own, and all share one memory."""


class Model(Part):
    """A model that requests ask for by `name`. It follows the policy as far as `max_accuracy_loss` allows.

    Loaded at the start, or by the first request for it; then it may be evicted for another one. Without `engine`
    it runs on that of `worker`.
    """

    name: TopicLevel
    bundle: FilePath = Field(description="the model's bundle, a path relative to this file")
    engine: EngineName | None = None
    max_accuracy_loss: Share | None = None
    load: Literal["at_start", "on_request"] = "at_start"


def models_named_apart(models: tuple[Model, ...]) -> tuple[Model, ...]:
    names = [each.name for each in models]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refuse(f"two models are called {name}", allowed="a name each", at=(index, "name"))
    return models
