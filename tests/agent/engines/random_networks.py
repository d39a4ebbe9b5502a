"""Random small networks as data, with the shapes and fusions that real ones have, and random points on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
import numpy as np

from tidegate.engines.engine import Array
from tidegate.models.graph import INPUT, Argument, BatchSize, Node, Ref, Segment, Weight
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.operator import Kind
from tidegate.models.graph.operators import ADD, OPERATORS
from tidegate.models.graph.shortcut import shortcut_of
from tidegate.models.ladder import Activation, Activity, Figures, OperatingPoint, Precision, StandIn
from tidegate.models.network import TrainedNetwork

FIGURES = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)
SAMPLES = 5
ACTIVATIONS = [name for name, operator in OPERATORS.items() if operator.kind is Kind.ACTIVATION]

Shape = tuple[int, ...]


def point(engine: str, **knobs: object) -> OperatingPoint:
    return OperatingPoint("p", engine, FIGURES, **knobs)


@dataclass
class Builder:
    """Adds nodes to one segment and draws their weights."""

    name: str
    shape: Shape
    arrays: dict[str, Array]
    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)

    def add(self, operator: str, args: tuple[Argument, ...], shape: Shape) -> Ref:
        name = f"{operator.split('.')[1]}_{len(self.nodes)}"
        self.nodes.append(Node(name, operator, args, shape))
        return Ref(name)

    def weight(self, layer: str, kind: str, shape: Shape, scale: float) -> Weight:
        name = f"{self.name}.{layer}.{kind}"
        self.arrays[name] = (self.rng.normal(size=shape) * scale).astype(np.float32)
        return Weight(name)

    def conv(
        self, x: Ref, given: Shape, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> tuple[Ref, Shape]:
        layer = f"conv{len(self.nodes)}"
        fan_in = given[0] // groups * kernel * kernel
        weight = self.weight(layer, "weight", (outputs, given[0] // groups, kernel, kernel), (1.5 / fan_in) ** 0.5)
        bias = self.weight(layer, "bias", (outputs,), 0.1)
        pad = kernel // 2
        sizes = tuple((size + 2 * pad - kernel) // stride + 1 for size in given[1:])
        shape = (outputs, *sizes)
        args = (x, weight, bias, (stride, stride), (pad, pad), (1, 1), groups)
        return self.add("aten.conv2d.default", args, shape), shape

    def linear(self, x: Ref, given: Shape, outputs: int) -> tuple[Ref, Shape]:
        layer = f"linear{len(self.nodes)}"
        weight = self.weight(layer, "weight", (outputs, given[-1]), given[-1] ** -0.5)
        bias = self.weight(layer, "bias", (outputs,), 0.1)
        shape = (*given[:-1], outputs)
        return self.add("aten.linear.default", (x, weight, bias), shape), shape

    def done(self) -> Segment:
        return Segment(self.name, self.shape, tuple(self.nodes))


def residual(build: Builder) -> None:
    shape = build.shape
    x, _ = build.conv(Ref(INPUT), shape, shape[0], 3)
    x = build.add("aten.relu.default", (x,), shape)
    x, _ = build.conv(x, shape, shape[0], 3)
    x = build.add("aten.add.Tensor", (x, Ref(INPUT)), shape)
    build.add("aten.relu.default", (x,), shape)


def inverted(build: Builder) -> None:
    shape = build.shape
    wide = shape[0] * 2
    x, given = build.conv(Ref(INPUT), shape, wide, 1)
    x = build.add("aten.hardtanh.default", (x, 0.0, 6.0), given)
    x, given = build.conv(x, given, wide, 3, groups=wide)
    x = build.add("aten.hardtanh.default", (x, 0.0, 6.0), given)
    x, _ = build.conv(x, given, shape[0], 1)
    build.add("aten.add.Tensor", (Ref(INPUT), x), shape)


def excited(build: Builder) -> None:
    shape = build.shape
    x, _ = build.conv(Ref(INPUT), shape, shape[0], 3)
    x = build.add("aten.silu.default", (x,), shape)
    pooled = build.add("aten.mean.dim", (x, (2, 3), True), (shape[0], 1, 1))
    scale, _ = build.conv(pooled, (shape[0], 1, 1), shape[0], 1)
    scale = build.add("aten.sigmoid.default", (scale,), (shape[0], 1, 1))
    build.add("aten.mul.Tensor", (x, scale), shape)


def downsample(build: Builder) -> None:
    outputs = build.shape[0] + 8
    x, given = build.conv(Ref(INPUT), build.shape, outputs, 3, stride=2)
    x = build.add("aten.relu.default", (x,), given)
    x, _ = build.conv(x, given, outputs, 3)
    shortcut, _ = build.conv(Ref(INPUT), build.shape, outputs, 1, stride=2)
    x = build.add("aten.add.Tensor", (x, shortcut), given)
    build.add("aten.relu.default", (x,), given)


def pool(build: Builder) -> None:
    channels, height, width = build.shape
    shape = (channels, (height - 1) // 2 + 1, (width - 1) // 2 + 1)
    build.add("aten.max_pool2d.default", (Ref(INPUT), (3, 3), (2, 2), (1, 1)), shape)


def twice_read(build: Builder) -> None:
    """A value that is summed into and read again: nothing may write over it."""
    shape = build.shape
    first, _ = build.conv(Ref(INPUT), shape, shape[0], 1)
    first = build.add("aten.relu.default", (first,), shape)
    second, _ = build.conv(first, shape, shape[0], 3)
    second = build.add("aten.add.Tensor", (second, first), shape)
    build.add("aten.add.Tensor", (second, first), shape)


def activated(build: Builder) -> None:
    """Any activation function of the table between two layers."""
    shape = build.shape
    x, _ = build.conv(Ref(INPUT), shape, shape[0], 1)
    x = build.add(ACTIVATIONS[build.rng.integers(len(ACTIVATIONS))], (x,), shape)
    x, _ = build.conv(x, shape, shape[0], 3)
    build.add(ADD, (x, Ref(INPUT)), shape)


def mlp(build: Builder) -> None:
    shape = build.shape
    size = shape[-1]
    weight = build.weight("norm", "weight", (size,), 1.0)
    bias = build.weight("norm", "bias", (size,), 0.1)
    x = build.add("aten.layer_norm.default", (Ref(INPUT), (size,), weight, bias), shape)
    x, wide = build.linear(x, shape, size * 2)
    x = build.add("aten.gelu.default", (x,), wide)
    x, _ = build.linear(x, wide, size)
    build.add("aten.add.Tensor", (x, Ref(INPUT)), shape)


IMAGE_BLOCKS: Mapping[str, Callable[[Builder], None]] = {
    kind.__name__: kind for kind in (residual, inverted, excited, downsample, pool, twice_read, activated)
}


def ways_round(network: TrainedNetwork, rng: np.random.Generator) -> TrainedNetwork:
    """The network with stand-ins of every kind and an exit before every segment but the first and the last."""
    arrays = dict(network.arrays)
    stand_ins: dict[str, dict[StandIn, Segment]] = {}
    exit_heads = {}
    answers = network.segments[-1].output_shape[0]
    for segment in network.segments[1:-1]:
        shortcut = shortcut_of(segment)
        if shortcut is not None:
            stand_ins[segment.name] = {StandIn.SHORTCUT: shortcut}
        if segment.skippable:
            stand_ins[segment.name] = {
                StandIn.AFFINE: _affine(segment, arrays, rng),
                StandIn.SURROGATE: _surrogate(segment, arrays, rng),
            }
        exit_heads[segment.name] = _exit(segment, answers, arrays, rng)
    return TrainedNetwork(network.segments, arrays, stand_ins, exit_heads)


def _affine(block: Segment, arrays: dict[str, Array], rng: np.random.Generator) -> Segment:
    build = Builder(f"{block.name}.affine", block.input_shape, arrays, rng)
    sizes = (block.input_shape[0], 1, 1) if len(block.input_shape) == 3 else (block.input_shape[-1],)
    scaled = build.add("aten.mul.Tensor", (Ref(INPUT), build.weight("c", "scale", sizes, 1.0)), block.input_shape)
    build.add("aten.add.Tensor", (scaled, build.weight("c", "shift", sizes, 0.1)), block.input_shape)
    return build.done()


def _surrogate(block: Segment, arrays: dict[str, Array], rng: np.random.Generator) -> Segment:
    build = Builder(f"{block.name}.surrogate", block.input_shape, arrays, rng)
    if len(block.input_shape) == 3:
        x, _ = build.conv(Ref(INPUT), block.input_shape, block.input_shape[0], 1)
        build.add("aten.relu.default", (x,), block.input_shape)
    else:
        build.linear(Ref(INPUT), block.input_shape, block.input_shape[-1])
    return build.done()


def _exit(block: Segment, answers: int, arrays: dict[str, Array], rng: np.random.Generator) -> Segment:
    build = Builder(f"{block.name}.exit", block.input_shape, arrays, rng)
    images = len(block.input_shape) == 3
    width = block.input_shape[0] if images else block.input_shape[-1]
    pooled = build.add("aten.mean.dim", (Ref(INPUT), (2, 3) if images else (1,)), (width,))
    build.linear(pooled, (width,), answers)
    return build.done()


def image_network(kinds: tuple[str, ...], channels: int, seed: int) -> TrainedNetwork:
    """Stem, blocks, head; input (3, 12, 12), 7 classes."""
    arrays: dict[str, Array] = {}
    rng = np.random.default_rng(seed)
    stem = Builder("stem", (3, 12, 12), arrays, rng)
    x, shape = stem.conv(Ref(INPUT), stem.shape, channels, 3)
    stem.add("aten.relu.default", (x,), shape)
    segments = [stem.done()]
    for index, kind in enumerate(kinds):
        build = Builder(f"b{index}", segments[-1].output_shape, arrays, rng)
        IMAGE_BLOCKS[kind](build)
        segments.append(build.done())
    head = Builder("head", segments[-1].output_shape, arrays, rng)
    width = head.shape[0]
    x = head.add("aten.adaptive_avg_pool2d.default", (Ref(INPUT), (1, 1)), (width, 1, 1))
    x = head.add("aten.view.default", (x, (BatchSize(), width)), (width,))
    head.linear(x, (width,), 7)
    return ways_round(TrainedNetwork((*segments, head.done()), arrays), rng)


def token_network(blocks: int, size: int, seed: int) -> TrainedNetwork:
    """Pre-LN MLP blocks over 4 tokens; input (4, size), 7 classes."""
    arrays: dict[str, Array] = {}
    rng = np.random.default_rng(seed)
    segments = []
    for index in range(blocks):
        build = Builder(f"b{index}", (4, size), arrays, rng)
        mlp(build)
        segments.append(build.done())
    head = Builder("head", (4, size), arrays, rng)
    x = head.add("aten.flatten.using_ints", (Ref(INPUT), 1), (4 * size,))
    head.linear(x, (4 * size,), 7)
    return ways_round(TrainedNetwork((*segments, head.done()), arrays), rng)


image_networks = st.builds(
    image_network,
    st.lists(st.sampled_from(sorted(IMAGE_BLOCKS)), min_size=1, max_size=5).map(tuple),
    st.sampled_from([8, 16]),
    st.integers(0, 2**32 - 1),
)
token_networks = st.builds(token_network, st.integers(1, 3), st.sampled_from([8, 16]), st.integers(0, 2**32 - 1))
networks = st.one_of(image_networks, token_networks)


def batch_for(network: TrainedNetwork, samples: int = SAMPLES) -> Array:
    """Inputs of differing size, so that gates find something to tell apart."""
    rng = np.random.default_rng(7)
    shape = network.segments[0].input_shape
    scale = np.linspace(0.5, 2, samples).reshape(-1, *[1] * len(shape))
    return (rng.normal(size=(samples, *shape)) * scale).astype(np.float32)


@st.composite
def knobs(draw: st.DrawFn, network: TrainedNetwork, precisions: tuple[Precision, ...]) -> dict[str, object]:
    """A precision per layer, some blocks skipped, some gated either way for sure or by the sample."""
    blocks = [segment.name for segment in network.segments if segment.skippable]
    layers = [layer for segment in network.segments for layer in segment.layers]
    skip = draw(st.frozensets(st.sampled_from(blocks))) if blocks else frozenset()
    gated = [block for block in blocks if block not in skip and draw(st.booleans())]
    return {
        "skip": skip,
        "thresholds": {block: draw(st.sampled_from([-1.0, 1e9])) for block in gated},
        "precision": draw(st.sampled_from(precisions)),
        "layer_precision": {
            layer: draw(st.sampled_from(precisions)) for layer in layers if draw(st.integers(0, 3)) == 0
        },
    }


@st.composite
def all_knobs(draw: st.DrawFn, network: TrainedNetwork, precisions: tuple[Precision, ...]) -> dict[str, object]:
    """Those of `knobs`, and stand-ins, exits, activities, AA-ReLU and the resolution."""
    drawn = draw(knobs(network, precisions))
    shortcuts = [block for block, kinds in network.stand_ins.items() if StandIn.SHORTCUT in kinds]
    skip = drawn["skip"] | draw(st.frozensets(st.sampled_from(shortcuts))) if shortcuts else drawn["skip"]
    images = len(network.segments[0].input_shape) == 3
    tensors = [tensor for segment in network.segments for tensor in activation_tensors_of(segment)]
    return drawn | {
        "skip": skip,
        "stand_ins": {
            block: draw(st.sampled_from(sorted(kinds)))
            for block, kinds in network.stand_ins.items()
            if block in shortcuts or draw(st.booleans())
        },
        "exits": {
            # Nobody leaves, or everybody: margins lie in 0..1.
            block: draw(st.sampled_from([2.0, 2.0, 2.0, -1.0]))
            for block in network.exit_heads
            if draw(st.integers(0, 2)) == 0
        },
        "activity": draw(st.sampled_from(Activity)),
        "activations": {
            tensor.name: _of_its_own(draw(AA_RELU), index)
            for index, tensor in enumerate(tensors)
            if draw(st.integers(0, 2)) == 0
        },
        "resolution": draw(st.sampled_from([None, (12, 12), (9, 10)])) if images else None,
    }


AA_RELU = st.sampled_from(
    [
        Activation(threshold=0.1),
        Activation(clip=2.0),
        Activation(threshold=0.05, clip=3.0, bits=6),
        Activation(threshold=0.02, clip=4.0),
    ]
)


def _of_its_own(setting: Activation, index: int) -> Activation:
    """With other steps than all other values': a mean of rounded values often lies half-way between steps twice as
    wide, and there the order of a sum decides."""
    return setting if setting.bits is None else replace(setting, clip=setting.clip * (1 + 0.0137 * index))


def difference(found: Array, expected: Array, scale: float | None = None) -> float:
    """Largest difference as a share of `scale`, by default the largest expected value."""
    return float(np.abs(found - expected).max() / (np.abs(expected).max() if scale is None else scale))
