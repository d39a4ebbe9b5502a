"""Segments as fused steps: a convolution or linear layer with what follows it in one kernel. No torch here."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.models.graph import INPUT, Argument, Node, Ref, Segment, Weight, layer_of
from tidegate.models.ladder import Activation as AaRelu
from tidegate.models.sites import sites_of

_ACTIVATIONS = {
    "aten.gelu.default": "gelu",
    "aten.hardtanh.default": "hardtanh",
    "aten.relu.default": "relu",
    "aten.sigmoid.default": "sigmoid",
    "aten.silu.default": "swish",
}
"""Operators that oneDNN runs at the end of a layer, under its own names."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A pointwise function by oneDNN's name, with its numbers (hardtanh: low, high) and algorithm (gelu)."""

    kind: str
    scalars: tuple[float, ...] = ()
    algorithm: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution slides: height and width of stride, padding and dilation, and its groups."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True, slots=True)
class Layer:
    """activation(weight * source + bias + residual), in one kernel; `window` is None for a linear layer.

    `source_shape` and `shape` are per sample. `pre_activation` names the value before the activation.
    """

    output: str
    source: str
    source_shape: tuple[int, ...]
    shape: tuple[int, ...]
    weight: str
    bias: str | None
    window: Window | None
    residual: str | None = None
    activation: Activation | None = None

    @property
    def name(self) -> str:
        """The layer's name, under which its precision is chosen."""
        return layer_of(self.weight)

    @property
    def sources(self) -> tuple[str, ...]:
        """Values it reads."""
        return (self.source,) if self.residual is None else (self.source, self.residual)


@dataclass(frozen=True, slots=True)
class Call:
    """Any other operator, called as it stands."""

    node: Node

    @property
    def output(self) -> str:
        """The value it computes."""
        return self.node.name

    @property
    def sources(self) -> tuple[str, ...]:
        """Values it reads."""
        return tuple(leaf.ref for leaf in self.node.leaves if isinstance(leaf, Ref))


Step = Layer | Call


@dataclass(frozen=True, slots=True)
class Adaptation:
    """AA-ReLU at a value, and the least value possible there (None: no bound)."""

    setting: AaRelu
    floor: float | None


def adaptations(segment: Segment, chosen: Mapping[str, AaRelu]) -> Mapping[str, Adaptation]:
    """By node, from a choice by stored value (`segment.node`)."""
    sites = sites_of(segment) if chosen else ()
    return {site.node: Adaptation(chosen[site.name], site.floor) for site in sites if site.name in chosen}


def fuse(segment: Segment, apart: Collection[str] = ()) -> tuple[Step, ...]:
    """The segment's steps in order; together they compute what its nodes compute.

    Nodes named in `apart` are the results of steps: something is done to their values before anybody reads them.
    """
    uses = Counter(leaf.ref for node in segment.nodes for leaf in node.leaves if isinstance(leaf, Ref))
    # Whoever is named so counts as read by somebody else, too.
    uses.update((segment.nodes[-1].name, *apart))
    shapes = {INPUT: segment.input_shape} | {node.name: node.shape for node in segment.nodes}
    steps: dict[str, Step] = {}
    for node in segment.nodes:
        step = _absorbed(node, steps, uses, shapes) or _layer(node, shapes) or Call(node)
        if isinstance(step, Layer):
            # What it took in is computed here and no longer where it stood.
            for taken in _operands(node):
                if isinstance(steps.get(taken), Layer) and taken not in step.sources:
                    del steps[taken]
        steps[node.name] = step
    return tuple(steps.values())


def _layer(node: Node, shapes: Mapping[str, tuple[int, ...]]) -> Layer | None:
    """A convolution or linear layer whose weights are stored weights."""
    arguments = (*node.args, None)
    match arguments:
        case (Ref(source), Weight(weight), (Weight() | None) as bias, *rest):
            named_bias = bias.weight if isinstance(bias, Weight) else None
        case _:
            return None
    if node.kwargs:
        return None
    if node.operator == "aten.linear.default":
        return Layer(node.name, source, shapes[source], node.shape, weight, named_bias, None)
    if node.operator == "aten.conv2d.default" and len(node.shape) == 3:
        window = _window(rest[: len(node.args) - 3])
        if window is not None:
            return Layer(node.name, source, shapes[source], node.shape, weight, named_bias, window)
    return None


def _window(rest: Sequence[Argument]) -> Window | None:
    defaults: tuple[Argument, ...] = ((1,), (0,), (1,), 1)
    stride, padding, dilation, groups = (*rest, *defaults[len(rest) :])
    pairs = [_pair(value) for value in (stride, padding, dilation)]
    if None in pairs or not isinstance(groups, int):
        return None
    height_width = [pair for pair in pairs if pair is not None]
    return Window(height_width[0], height_width[1], height_width[2], groups)


def _pair(value: Argument) -> tuple[int, int] | None:
    match value:
        case int(both) | (int(both),):
            return both, both
        case (int(height), int(width)):
            return height, width
        case _:
            return None


def _absorbed(
    node: Node, steps: Mapping[str, Step], uses: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> Layer | None:
    """The layer before the node with the node taken in, where the node is its only reader."""

    def open_layer(name: str) -> Layer | None:
        step = steps.get(name)
        fits = isinstance(step, Layer) and step.activation is None and uses[name] == 1
        return step if fits and isinstance(step, Layer) else None

    if node.operator in _ACTIVATIONS and node.args and isinstance(node.args[0], Ref):
        layer = open_layer(node.args[0].ref)
        activation = _activation(node)
        if layer is not None and activation is not None:
            return replace(layer, output=node.name, activation=activation)
    if node.operator == "aten.add.Tensor" and not node.kwargs:
        match node.args:
            case (Ref(left), Ref(right)) if left != right and shapes[left] == shapes[right]:
                # The one computed last takes the other in: both are there by then.
                for name, other in ((right, left), (left, right)):
                    layer = open_layer(name)
                    if layer is not None and layer.residual is None and _comes_before(other, name, steps):
                        return replace(layer, output=node.name, residual=other)
            case _:
                pass
    return None


def _comes_before(other: str, name: str, steps: Mapping[str, Step]) -> bool:
    order = list(steps)
    return other == INPUT or order.index(other) < order.index(name)


def _activation(node: Node) -> Activation | None:
    kind = _ACTIVATIONS[node.operator]
    if kind == "hardtanh":
        match node.args[1:]:
            case (int() | float() as low, int() | float() as high) if not node.kwargs:
                return Activation(kind, (float(low), float(high)))
            case _:
                return None
    if kind == "gelu":
        algorithm = node.kwargs.get("approximate", "none")
        return Activation(kind, (), str(algorithm)) if len(node.args) == 1 else None
    return Activation(kind) if len(node.args) == 1 and not node.kwargs else None


def _operands(node: Node) -> tuple[str, ...]:
    return tuple(leaf.ref for leaf in node.leaves if isinstance(leaf, Ref))
