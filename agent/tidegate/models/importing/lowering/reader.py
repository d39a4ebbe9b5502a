"""Reads one exported graph node by node; holds what its values have become."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import SymInt, Tensor, dtype, fx

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.graph import INPUT, Argument, BatchSize, Node, Ref, Weight
from tidegate.models.graph.operator import Domain, Kind
from tidegate.models.graph.operators import OPERATORS, VIEW
from tidegate.models.network import WeightArray


class ExportError(TidegateError):
    """The module can't become a segment; the message names the operator or value and what is allowed."""

    exit_code = EX_DATAERR
    operators: tuple[str, ...] = ()
    """Those that could not be read."""


@dataclass(frozen=True, slots=True)
class AsImage:
    """A signal (channels, length) that is kept as an image (channels, 1, length)."""

    image: Ref


@dataclass(frozen=True, slots=True)
class Laid:
    """A value with its samples in front, though the exported value has them elsewhere.

    `shape` is per sample. `groups` has, for each exported axis in order, the axes of `ref` that it is made of, 0
    being the samples': none for an axis of size 1.
    """

    ref: Argument
    shape: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Expanded:
    """A weight repeated for every sample, as `expand` does: of size 1 along the samples' axis.

    Or of several, where that axis holds as many of each sample.
    """

    weight: Weight


@dataclass(frozen=True, slots=True)
class Counted:
    """A number or tensor that depends on how many samples there are."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What could not be read; so can't what depends on it, and only the first is told of."""


Value = Argument | AsImage | Laid | Expanded | Counted | Refused
Rule = Callable[["Reader", fx.Node], Value]


def _is_float(argument: object) -> bool:
    return isinstance(argument, dtype) and argument.is_floating_point


def call(node: fx.Node) -> dict[str, Any]:
    """All arguments of an operator by their names in torch's schema, those left out with their defaults."""
    arguments = node.target._schema.arguments  # type: ignore[union-attr]  # noqa: SLF001 - there is no public way
    given = dict(zip((argument.name for argument in arguments), node.args, strict=False)) | node.kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in arguments}


LARGEST_WHOLE = 2**24
"""Up to it float32 holds every whole number."""

_MIXED = (
    "an answer would depend on the other samples, or on how many are asked together; "
    "leave the first axis and x.shape[0] out of the arithmetic"
)
_WITH = "; a function with no form of its own can be trained in terms of tanh, sigmoid, exp, erf or relu"
_BY_VALUE = "; what chooses by value belongs behind the model: return what it chooses from"
_BY_SAMPLING = "; sample pictures at places that the input moves in front of the model, or leave the layer out"
_SPECTRUM = "; take the spectrum in front of the model, or as a product with a matrix of cosines and sines"
_INSTEAD: dict[str, str] = {
    **dict.fromkeys(
        ("aten.topk.default", "aten.sort.default", "aten.argmax.default", "aten.argsort.default"), _BY_VALUE
    ),
    **dict.fromkeys(("aten.nonzero.default", "aten.gather.default", "aten.grid_sampler_2d.default"), _BY_VALUE),
    "aten.conv_transpose3d.input": "; those over images (2d) and signals (1d) have one",
    **dict.fromkeys(("aten.affine_grid_generator.default", "aten.grid_sampler.default"), _BY_SAMPLING),
    **dict.fromkeys(("aten.median.default", "aten.median.dim", "aten.kthvalue.default"), _BY_VALUE),
    **dict.fromkeys(("aten.sin.default", "aten.cos.default", "aten.sign.default", "aten.floor.default"), _WITH),
    **dict.fromkeys(
        ("aten.fft_rfft.default", "aten.fft_fft.default", "aten.fft_fft2.default", "aten.fft_fftn.default"),
        _SPECTRUM,
    ),
}
"""By operator, what to do in its place."""


class Reader:
    """What one graph has become so far: `nodes` in order, the module path of each, and every value by its name."""

    def __init__(self, segment: str, weights: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
        self.nodes: list[Node] = []
        self.paths: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self.tensors = dict(tensors)
        self._segment = segment
        self._weights = weights
        self._exported: frozenset[str] = frozenset()
        self.samples: int | SymInt = 1
        self._made: dict[str, Ref] = {}

    def reserve(self, names: Iterable[str]) -> None:
        """The names of the exported nodes, which no step of another may have."""
        self._exported = frozenset(names)

    def take_input(self, node: fx.Node) -> None:
        """A placeholder: the input, or a weight."""
        weight = self._weights.get(node.name)
        if weight is None:
            self.samples = node.meta["val"].shape[0]
        self.values[node.name] = Ref(INPUT) if weight is None else Weight(weight)

    def keep(self, node: fx.Node) -> Value:
        """The operator as it is, if graphs have it."""
        operator = str(node.target)
        value = node.meta["val"]
        if isinstance(value, Tensor) and not value.ndim:
            raise self.refusal(node, _MIXED)
        if operator not in OPERATORS:
            raise self.refusal(node, f"operator {operator} has no form in a graph{_INSTEAD.get(operator, '')}")
        self._check_axes(node, operator)
        # All floats are of 32 bits in a graph, whatever type sums and shares are asked for in.
        args = tuple(self.argument(argument) for argument in node.args if not _is_float(argument))
        kwargs = {key: self.argument(each) for key, each in node.kwargs.items() if not _is_float(each)}
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
        while name in self.paths or (suffix and name in self._exported):
            name += "_"  # conv2d's first step is no conv2d_1, which another node is called
        given = (*args, *(kwargs or {}).values())
        if OPERATORS[operator].kind not in {Kind.VIEW, Kind.COPY} and BatchSize() in given:
            raise self.refusal(source, _MIXED)
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

    def keep_tensor(self, source: fx.Node, tensor: Tensor) -> str:
        """The full name of a tensor that was computed beforehand; known ones keep theirs."""
        name = self.constant(source, source.name, tensor)
        return name.weight

    def array(self, weight: str) -> WeightArray:
        """A weight's values in float32. Raises ExportError for whole numbers that it can't hold."""
        tensor = self.tensors[weight]
        whole = not tensor.is_floating_point()
        if whole and tensor.numel() and int(tensor.long().abs().max()) > LARGEST_WHOLE:
            raise ExportError(f"{weight}: holds whole numbers above {LARGEST_WHOLE}, which float32 rounds")
        array: WeightArray = np.ascontiguousarray(tensor.detach().float().numpy())
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

    def _check_axes(self, node: fx.Node, operator: str) -> None:
        """Raises ExportError where an operator would work along the samples' axis."""
        by_domain = {parameter.name: parameter.domain for parameter in OPERATORS[operator].parameters}
        for name, given in call(node).items():
            if by_domain.get(name) in {Domain.AXIS, Domain.AXES}:
                axes = given if isinstance(given, list | tuple) else [given]
                source = node.all_input_nodes[0].meta["val"]
                rank = len(source.shape)
                if any(isinstance(axis, int) and axis % rank == 0 for axis in axes):
                    raise self.refusal(node, _MIXED)

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

    def made_of(self, node: fx.Node, tensor: Tensor, shape: tuple[int, ...] | None = None) -> Ref:
        """What is the same for every sample as a value: added to zeros that some value gives.

        Of the node's shape per sample unless one is given.
        """
        if node.name in self._made:
            return self._made[node.name]
        source = next((each for each in self.nodes if math.prod(each.shape)), None)
        shape = self.shape(node) if shape is None else shape
        if source is None or (tensor.ndim == len(shape) + 1 and tensor.shape[0] != 1):
            raise self.refusal(node, "is the same for every sample, and comes before anything is computed of one")
        x, sizes = Ref(source.name), list(source.shape)
        for axis, size in enumerate(sizes, start=1):
            if size > 1:
                sizes[axis - 1] = 1
                x = self.add(node, "aten.slice.Tensor", (x, axis, 0, 1), tuple(sizes), f"_one{axis}")
        one = (1,) * len(shape)
        x = self.view(node, x, one, "_one")
        x = self.add(node, "aten.mul.Tensor", (x, 0.0), one, "_zero")
        weight = self.constant(node, node.name, tensor.float())
        made = self.add(node, "aten.add.Tensor", (x, weight), shape, "_made")
        self._made[node.name] = made
        return made

    def _as_argument(self, node: fx.Node) -> Argument:
        value = self.values.get(node.name)
        match value:
            case AsImage(image):
                self.values[node.name] = ref = self.view(node, image, self.shape(node), "_signal")
                return ref
            case Refused():
                raise self.refusal(node, "is made of what could not be read")
            case Laid():
                raise self.refusal(node, "moves samples to another axis; they must stay first")
            case Counted():
                raise self.refusal(node, _MIXED)
            case Expanded(weight):
                return self.made_of(node, self.tensors[weight.weight])
            case None if node.name not in self.values:
                raise self.refusal(node, "is not a value that a graph can hold")
            case _:
                return value
