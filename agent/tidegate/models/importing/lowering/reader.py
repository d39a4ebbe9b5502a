"""Reads one exported graph node by node; holds what its values have become."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.graph import INPUT, Argument, Node, Ref, Weight
from tidegate.models.graph.operators import OPERATORS, VIEW
from tidegate.models.network import WeightArray


class ExportError(TidegateError):
    """The module can't become a segment; the message names the operator or value and what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class AsImage:
    """A signal (channels, length) that is kept as an image (channels, 1, length)."""

    image: Ref


@dataclass(frozen=True, slots=True)
class Permuted:
    """A value with its axes in another order, samples not first; `axes` as `permute` takes them."""

    source: fx.Node
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A weight repeated for every sample, as `expand` does."""

    weight: Weight


Value = Argument | AsImage | Permuted | Expanded
Rule = Callable[["Reader", fx.Node], Value]


def call(node: fx.Node) -> dict[str, Any]:
    """All arguments of an operator by their names in torch's schema, those left out with their defaults."""
    arguments = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001 - there is no public way
    given = dict(zip((argument.name for argument in arguments), node.args, strict=False)) | node.kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in arguments}


class Reader:
    """What one graph has become so far: `nodes` in order, the module path of each, and every value by its name."""

    def __init__(self, segment: str, weights: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
        self.nodes: list[Node] = []
        self.paths: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self.tensors = dict(tensors)
        self._segment = segment
        self._weights = weights

    def take_input(self, node: fx.Node) -> None:
        """A placeholder: the input, or a weight."""
        weight = self._weights.get(node.name)
        self.values[node.name] = Ref(INPUT) if weight is None else Weight(weight)

    def keep(self, node: fx.Node) -> Value:
        """The operator as it is, if graphs have it."""
        operator = str(node.target)
        if operator not in OPERATORS:
            raise self.refusal(node, f"operator {operator} is not among {', '.join(sorted(OPERATORS))}")
        args = tuple(self.argument(argument) for argument in node.args)
        kwargs = {key: self.argument(argument) for key, argument in node.kwargs.items()}
        return self.add(node, operator, args, self.shape(node), kwargs=kwargs)

    def add(
        self,
        source: fx.Node,
        operator: str,
        args: tuple[Argument, ...],
        shape: tuple[int, ...],
        suffix: str = "",
        kwargs: Mapping[str, Argument] | None = None,
    ) -> Ref:
        """A node named after where it comes from; `suffix` tells those from one source apart."""
        name = source.name + suffix
        self.nodes.append(Node(name, operator, args, shape, kwargs or {}))
        self.paths[name] = self.path(source)
        return Ref(name)

    def view(self, source: fx.Node, value: Argument, shape: tuple[int, ...], suffix: str = "") -> Ref:
        """A value in another shape per sample."""
        return self.add(source, VIEW, (value, (-1, *shape)), shape, suffix)

    def constant(self, source: fx.Node, name: str, tensor: Tensor) -> Weight:
        """A tensor that graphs hold as a weight of the module's."""
        full = f"{self.path(source) or source.name}.{name}"
        while full in self.tensors:
            full += "_"
        self.tensors[full] = tensor.detach().clone()
        return Weight(full)

    def array(self, weight: str) -> WeightArray:
        """A weight's values. Raises ExportError unless they are float32."""
        tensor = self.tensors[weight]
        if tensor.dtype != torch.float32:
            raise ExportError(f"{weight}: weights are float32 before calibration, found {tensor.dtype}")
        array: WeightArray = np.ascontiguousarray(tensor.detach().numpy())
        return array

    def argument(self, argument: object) -> Argument:
        """What an argument has become. Raises ExportError for what graphs can't hold."""
        if isinstance(argument, fx.Node):
            return self._as_argument(argument)
        if isinstance(argument, list | tuple):
            return tuple(self.argument(item) for item in argument)
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        raise ExportError(f"{self._segment}: an argument of type {type(argument).__name__} can't be kept as data")

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """Shape per sample. Raises ExportError where samples are not along the first axis."""
        value = node.meta["val"]
        found = tuple(value[0].shape if isinstance(value, tuple | list) else value.shape)
        if not found or isinstance(found[0], int) or not all(isinstance(size, int) for size in found[1:]):
            raise self.refusal(
                node,
                f"has shape {found}; samples must stay along the first axis, and no other size may depend on "
                "their number",
            )
        return tuple(int(size) for size in found[1:])

    def path(self, node: fx.Node) -> str:
        """The submodule that the node comes from."""
        stack = node.meta.get("nn_module_stack") or {}
        return str([path for path, _ in stack.values()][-1]) if stack else ""

    def refusal(self, node: fx.Node, reason: str) -> ExportError:
        """An error that names the place."""
        where = self.path(node)
        return ExportError(f"{self._segment}: {f'in {where}, ' if where else ''}{node.name}: {reason}")

    def finish(self, node: fx.Node, *, as_vector: bool) -> None:
        """The graph's output must be one tensor, the last one computed; with `as_vector` it is flattened."""
        found = list(node.all_input_nodes)
        if as_vector and len(found) == 1 and len(self.shape(found[0])) != 1:
            flat = (math.prod(self.shape(found[0])),)
            self.values[found[0].name] = self.view(found[0], self.argument(found[0]), flat, "_answer")
        outputs = [self.argument(value) for value in found]
        if not self.nodes or outputs != [Ref(self.nodes[-1].name)]:
            raise ExportError(f"{self._segment}: the output must be one tensor, the last one computed")

    def _as_argument(self, node: fx.Node) -> Argument:
        value = self.values.get(node.name)
        match value:
            case AsImage(image):
                self.values[node.name] = ref = self.view(node, image, self.shape(node), "_signal")
                return ref
            case Permuted():
                raise self.refusal(node, f"moves samples to another axis ({value.axes}); they must stay first")
            case Expanded(weight):
                raise self.refusal(
                    node, f"{weight.weight} repeated for every sample can be added, multiplied or joined, no more"
                )
            case None if node.name not in self.values:
                raise self.refusal(node, "is not a value that a graph can hold")
            case _:
                return value
