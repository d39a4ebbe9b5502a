"""Where channels of a value can be made smaller and the weights that read them larger, with the same answers.

SmoothQuant (arXiv:2211.10438) divides what a norm gives by a factor per channel and multiplies the columns of the
linear layers behind it. Factors here are powers of two: every product keeps all its bits, so that answers in fp32
are the same to the last one, on any engine.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from tidegate.engines.engine import Array
from tidegate.models.graph import INPUT, Argument, Node, Ref, Segment, Weight
from tidegate.models.graph.operators import LAYER_NORM, LINEAR, MUL
from tidegate.models.network import TrainedNetwork, all_segments


@dataclass(frozen=True, slots=True)
class SmoothingSite:
    """A value of a segment, the linear `layers` that read it, and the `norm` that takes its factors in.

    Without a norm, since others read the value too, the layers get a product of the value in its place.
    """

    segment: str
    value: str
    layers: tuple[Node, ...]
    norm: Node | None

    @property
    def weights(self) -> tuple[str, ...]:
        """Of the layers, (outputs, inputs)."""
        return tuple(next(layer.weights()).weight for layer in self.layers)


def sites_of(network: TrainedNetwork) -> tuple[SmoothingSite, ...]:
    """Values behind layer norms that linear layers read; weights that several nodes use are left alone."""
    uses = Counter(
        weight.weight for graph in all_segments(network) for node in graph.nodes for weight in node.weights()
    )
    shared = {name for name, count in uses.items() if count > 1}
    found: list[SmoothingSite] = []
    before: Node | None = None
    for segment in network.segments:
        if before is not None and _is_norm_of_channels(before):
            found += _site(segment, INPUT, None, shared)
        for node in segment.nodes:
            if _is_norm_of_channels(node):
                found += _site(segment, node.name, node, shared)
        before = segment.nodes[-1]
    return tuple(found)


def smoothed_at(network: TrainedNetwork, site: SmoothingSite, factors: Array) -> TrainedNetwork:
    """The network with the value over `factors` (channels,), powers of two, and the layers' columns times them."""
    arrays = dict(network.arrays)
    for name in site.weights:
        arrays[name] = arrays[name] * factors
    if site.norm is not None:
        for weight in site.norm.weights():
            arrays[weight.weight] = arrays[weight.weight] / factors
        return replace(network, arrays=arrays)
    segments = list(network.segments)
    (place,) = (index for index, each in enumerate(segments) if each.name == site.segment)
    name = f"{site.value}_smoothed"
    product = f"{site.segment}.{name}.factors"
    arrays[product] = np.float32(1) / factors
    segments[place] = _with_product(segments[place], site, name, product, len(factors))
    return replace(network, segments=tuple(segments), arrays=arrays)


def _is_norm_of_channels(node: Node) -> bool:
    return node.operator == LAYER_NORM and isinstance(node.args[1], tuple) and len(node.args[1]) == 1


def _site(segment: Segment, value: str, norm: Node | None, shared: set[str]) -> Iterator[SmoothingSite]:
    readers = [node for node in segment.nodes if value in node.operands]
    layers = tuple(node for node in readers if _reads_as_layer(node, value, shared))
    if not layers:
        return
    others = len(layers) < len(readers) or value == segment.nodes[-1].name
    takes_factors = norm is not None and any(norm.weights()) and not others
    if takes_factors and norm is not None and any(weight.weight in shared for weight in norm.weights()):
        return
    yield SmoothingSite(segment.name, value, layers, norm if takes_factors else None)


def _reads_as_layer(node: Node, value: str, shared: set[str]) -> bool:
    if node.operator != LINEAR or node.operands != (value,):
        return False
    return next(node.weights()).weight not in shared


def _with_product(segment: Segment, site: SmoothingSite, name: str, weight: str, channels: int) -> Segment:
    readers = {layer.name for layer in site.layers}
    inner = {INPUT: segment.input_shape} | {node.name: node.shape for node in segment.nodes}
    product = Node(name, MUL, (Ref(site.value), Weight(weight)), inner[site.value])
    assert inner[site.value][-1] == channels  # noqa: S101 - a layer norm's axis is the last
    nodes: list[Node] = [product] if site.value == INPUT else []
    for node in segment.nodes:
        nodes.append(_reading(node, name) if node.name in readers else node)
        if node.name == site.value:
            nodes.append(product)
    return replace(segment, nodes=tuple(nodes))


def _reading(layer: Node, name: str) -> Node:
    source: Argument = Ref(name)
    return replace(layer, args=(source, *layer.args[1:]))
