"""Input resolution as a knob: smaller images through the same graph, where the graph allows it."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from agent.engines.engine import UnsupportedPoint
from agent.engines.interpreter import Interpreter
from agent.models.graph import Segment
from agent.models.network import Network, ReshapedNetwork, Shape, blocks_of
from agent.models.precision import Fp32Weight


def resized(images: Tensor, resolution: tuple[int, int] | None) -> Tensor:
    """(samples, channels, height, width) at another height and width, bilinear with antialiasing."""
    if resolution is None or tuple(images.shape[2:]) == resolution:
        return images
    return functional.interpolate(images, resolution, mode="bilinear", antialias=True, align_corners=False)


def at_resolution(network: Network, resolution: tuple[int, int] | None) -> Network:
    """The network with the shapes that it has on images of this height and width, tried on tensors without data.

    Stand-ins and exits that don't run at this size are left out. Raises UnsupportedPoint where the rest doesn't.
    """
    if resolution is None:
        return network
    first = network.segments[0].input_shape
    if len(first) != 3:
        raise UnsupportedPoint(
            f"the model's input has shape {first}, only images (channels, height, width) have a resolution"
        )
    weights = {
        name: Fp32Weight(torch.empty(shape, device="meta")) for name, shape in network.weight_shapes.items()
    }
    given: Shape = (first[0], *resolution)
    inputs: dict[str, Shape] = {}
    segments = []
    for segment in network.segments:
        inputs[segment.name] = given
        try:
            segments.append(_on(given, segment, weights))
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UnsupportedPoint(f"resolution {resolution}: segment {segment.name}: {reason}") from error
        given = segments[-1].output_shape
    declared = network.segments[-1].output_shape
    if given != declared:
        raise UnsupportedPoint(
            f"resolution {resolution}: the output would have shape {given}, declared is {declared}"
        )
    outputs = {segment.name: segment.output_shape for segment in segments}
    stand_ins = {
        block: {
            kind: fitting
            for kind, graph in kinds.items()
            if (fitting := _fitting(inputs[block], graph, weights, outputs[block])) is not None
        }
        for block, kinds in network.stand_ins.items()
    }
    exit_heads = {
        block: fitting
        for block, head in network.exit_heads.items()
        if (fitting := _fitting(inputs[block], head, weights, declared)) is not None
    }
    reshaped = ReshapedNetwork(network, tuple(segments), stand_ins, exit_heads)
    lost = {block.name for block in blocks_of(network)} ^ {block.name for block in blocks_of(reshaped)}
    if lost:
        raise UnsupportedPoint(f"resolution {resolution}: {sorted(lost)} keep the input's shape at one size only")
    return reshaped


def runs_at(network: Network, resolution: tuple[int, int]) -> bool:
    """Whether the network runs on images of this height and width."""
    try:
        at_resolution(network, resolution)
    except UnsupportedPoint:
        return False
    return True


def _on(given: Shape, segment: Segment, weights: Mapping[str, Fp32Weight]) -> Segment:
    """The segment with the shapes that it gives on input of another shape."""
    values = Interpreter(segment, weights).values(torch.empty((1, *given), device="meta"))
    nodes = tuple(replace(node, shape=tuple(values[node.name].shape[1:])) for node in segment.nodes)
    return replace(segment, input_shape=given, nodes=nodes)


def _fitting(given: Shape, segment: Segment, weights: Mapping[str, Fp32Weight], output: Shape) -> Segment | None:
    try:
        found = _on(given, segment, weights)
    except (RuntimeError, ValueError):
        return None
    return found if found.output_shape == output else None
