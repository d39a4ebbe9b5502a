"""Functions that exporters take apart, put together again: engines have kernels for the whole."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidegate.models.importing.onnx.node import OnnxNode

_ROOT = 2**0.5

Constants = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Found:
    """A node in the place of the last of `parts`; the others go."""

    whole: OnnxNode
    parts: tuple[OnnxNode, ...]


def fused(nodes: Sequence[OnnxNode], constants: Constants, outputs: Sequence[str]) -> list[OnnxNode]:
    """The nodes with layer norms, GELU, SiLU, hardswish and tables of one-hot vectors as one node each."""
    for pattern in (_layer_norms, _gelus, _gated_by_itself, _tables):
        graph = _Graph(nodes, constants, outputs)
        taken: dict[str, OnnxNode | None] = {}
        for found in pattern(graph):
            *inner, last = found.parts
            if any(part.outputs[0] in taken for part in found.parts):
                continue
            inside = {part.outputs[0] for part in found.parts}
            if all(graph.read_only_by(part.outputs[0], inside) for part in inner):
                taken |= {part.outputs[0]: None for part in inner}
                taken[last.outputs[0]] = found.whole
        # None drops the node.
        nodes = [kept for node in nodes if (kept := taken.get(node.outputs[0], node)) is not None]
    return list(nodes)


class _Graph:
    """Who makes a value and who reads it."""

    def __init__(self, nodes: Sequence[OnnxNode], constants: Constants, outputs: Sequence[str]) -> None:
        self.nodes = nodes
        self._constants = constants
        self._makers = {name: node for node in nodes for name in node.outputs}
        self._readers: dict[str, list[OnnxNode]] = {}
        for node in nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._answers = Counter(outputs)

    def read_only_by(self, name: str, readers: set[str]) -> bool:
        """Whether nobody else reads a value."""
        return name not in self._answers and all(
            each.outputs[0] in readers for each in self._readers.get(name, [])
        )

    def maker(self, name: str, operator: str) -> OnnxNode | None:
        """The node of that operator which makes a value."""
        node = self._makers.get(name)
        return node if node is not None and node.operator == operator else None

    def reader(self, name: str, operator: str) -> OnnxNode | None:
        """The only reader of a value, if it is of that operator."""
        readers = self._readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].operator == operator else None

    def number(self, name: str) -> float | None:
        """A constant of one number."""
        array = self._constants.get(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def is_number(self, name: str, value: float) -> bool:
        """Whether a constant is that number."""
        found = self.number(name)
        return found is not None and abs(found - value) < 1e-5

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """A constant."""
        return self._constants.get(name)

    def other(self, node: OnnxNode, name: str) -> str:
        """The other of two inputs."""
        return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def _gelus(graph: _Graph) -> Iterator[_Found]:
    """x / 2 * (1 + erf(x / sqrt(2))), in any order of the products."""
    for erf in graph.nodes:
        if erf.operator != "Erf":
            continue
        inner = graph.maker(erf.inputs[0], "Div") or graph.maker(erf.inputs[0], "Mul")
        if inner is None:
            continue
        by = _ROOT if inner.operator == "Div" else 1 / _ROOT
        x = next((name for name in inner.inputs if not graph.is_number(name, by)), None)
        raised = graph.reader(erf.outputs[0], "Add")
        if x is None or not graph.is_number(graph.other(inner, x), by) or raised is None:
            continue
        first = graph.reader(raised.outputs[0], "Mul")
        if not graph.is_number(graph.other(raised, erf.outputs[0]), 1.0) or first is None:
            continue
        yield from _gelu(graph, x, (inner, erf, raised), first)


def _gelu(graph: _Graph, x: str, parts: tuple[OnnxNode, ...], first: OnnxNode) -> Iterator[_Found]:
    beside = graph.other(first, parts[-1].outputs[0])
    half = graph.maker(beside, "Mul")
    if half is not None and x in half.inputs and graph.is_number(graph.other(half, x), 0.5):
        yield _Found(_one_of(first, "Gelu", x), (*parts, half, first))
        return
    last = graph.reader(first.outputs[0], "Mul")
    if last is None:
        return
    rest = graph.other(last, first.outputs[0])
    if (beside == x and graph.is_number(rest, 0.5)) or (graph.is_number(beside, 0.5) and rest == x):
        yield _Found(_one_of(last, "Gelu", x), (*parts, first, last))


def _gated_by_itself(graph: _Graph) -> Iterator[_Found]:
    """x sigmoid(x), and x hardsigmoid(x) with a slope of 1/6."""
    for node in graph.nodes:
        whole = {"Sigmoid": "Swish", "HardSigmoid": "HardSwish"}.get(node.operator)
        if whole is None or (whole == "HardSwish" and abs(node.attributes.get("alpha", 0.2) - 1 / 6) > 1e-5):
            continue
        last = graph.reader(node.outputs[0], "Mul")
        if last is not None and graph.other(last, node.outputs[0]) == node.inputs[0]:
            yield _Found(_one_of(last, whole, node.inputs[0]), (node, last))


def _tables(graph: _Graph) -> Iterator[_Found]:
    """(numbers == 0, 1, 2, ...) times a constant: its rows by their numbers."""
    for product in graph.nodes:
        table = graph.constant(product.inputs[1]) if product.operator == "MatMul" else None
        cast = graph.maker(product.inputs[0], "Cast") if product.operator == "MatMul" else None
        equal = None if cast is None else graph.maker(cast.inputs[0], "Equal")
        if table is None or cast is None or equal is None:
            continue
        places = next((name for name in equal.inputs if _counts(graph.constant(name), len(table))), None)
        if places is None or table.ndim != 2:
            continue
        parts: tuple[OnnxNode, ...] = (equal, cast, product)
        numbers = graph.other(equal, places)
        repeated = graph.maker(numbers, "Expand")
        if repeated is not None:
            numbers, parts = repeated.inputs[0], (repeated, *parts)
        inputs = (numbers, product.inputs[1])
        yield _Found(OnnxNode(product.name, "tidegate.Embedding", inputs, product.outputs, {}), parts)


def _counts(array: npt.NDArray[Any] | None, rows: int) -> bool:
    """Whether it is 0, 1, 2, ... along the last axis."""
    if array is None or not array.ndim or not array.size == rows == array.shape[-1]:
        return False
    return bool((array.ravel() == np.arange(rows)).all())


def _layer_norms(graph: _Graph) -> Iterator[_Found]:
    """(x - mean) / sqrt(mean of squares + epsilon) over the last axis, perhaps times a weight and plus another."""
    for root in graph.nodes:
        if root.operator != "Sqrt":
            continue
        raised, divided = graph.maker(root.inputs[0], "Add"), graph.reader(root.outputs[0], "Div")
        if raised is None or divided is None or divided.inputs[1] != root.outputs[0]:
            continue
        variance = next((found for name in raised.inputs if (found := graph.maker(name, "ReduceMean"))), None)
        epsilon = next((value for name in raised.inputs if (value := graph.number(name)) is not None), None)
        if variance is None or epsilon is None or not _is_last(graph, variance):
            continue
        square = graph.maker(variance.inputs[0], "Pow") or graph.maker(variance.inputs[0], "Mul")
        off = None if square is None else graph.maker(square.inputs[0], "Sub")
        mean = None if off is None else graph.maker(off.inputs[1], "ReduceMean")
        if square is None or off is None or mean is None or not _is_last(graph, mean):
            continue
        is_square = graph.is_number(square.inputs[1], 2.0) or square.inputs[0] == square.inputs[1]
        again = graph.maker(divided.inputs[0], "Sub")
        if not is_square or mean.inputs[0] != off.inputs[0] or again is None or again.inputs != off.inputs:
            continue
        parts = (mean, off, *(() if again is off else (again,)), square, variance, raised, root, divided)
        yield _layer_norm(graph, off.inputs[0], epsilon, parts)


def _layer_norm(graph: _Graph, x: str, epsilon: float, parts: tuple[OnnxNode, ...]) -> _Found:
    inputs = [x, ""]
    for operator, place in (("Mul", 1), ("Add", 2)):
        last = graph.reader(parts[-1].outputs[0], operator)
        if last is None:
            break
        name = graph.other(last, parts[-1].outputs[0])
        weight = graph.constant(name)
        if weight is None or weight.ndim != 1 or (place == 2 and not inputs[1]):
            break
        inputs[place:] = [name]
        parts = (*parts, last)
    attributes = {"axis": -1, "epsilon": epsilon}
    last = parts[-1]
    return _Found(OnnxNode(last.name, "LayerNormalization", tuple(inputs), last.outputs, attributes), parts)


def _is_last(graph: _Graph, mean: OnnxNode) -> bool:
    """Whether it is a mean over the last axis, which stays with a size of 1."""
    axes = mean.attributes.get("axes")
    if axes is None and len(mean.inputs) > 1:
        given = graph.constant(mean.inputs[1])
        axes = None if given is None else np.atleast_1d(given).tolist()
    return axes is not None and list(axes) == [-1] and bool(mean.attributes.get("keepdims", 1))


def _one_of(place: OnnxNode, operator: str, x: str) -> OnnxNode:
    return OnnxNode(place.name, operator, (x,), place.outputs, {})
