"""Where samples may leave the network early, and with which head.

Behind the last change of shape all blocks speak the head's language, and the network's own head answers. Before
it a linear head is fitted to the full model's outputs on unlabelled inputs of part S, in closed form, on the
means over positions.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from agent.calibration.batches import run
from agent.calibration.ridge import Regression, Rows
from agent.engines.eager import EagerEngine
from agent.engines.engine import Array
from agent.models.gates import Seen
from agent.models.graph import INPUT, Node, Ref, Segment, Weight
from agent.models.knobs import Knobs
from agent.models.network import TrainedNetwork, WeightArray, blocks_of

RIDGE = 1e-2
"""Stronger than a stand-in's: one row per sample, not one per position."""


def with_exit_heads(network: TrainedNetwork, full: Knobs, inputs: Array) -> TrainedNetwork:
    """The network with an exit before every block but the first segment; `full` is the setting without skips.

    A network with fewer than two outputs has no margin, and gets none.
    """
    *_, head = network.segments
    if len(head.output_shape) != 1 or head.output_shape[0] < 2:
        return network
    own = _sharing(network)
    rest = [block for block in blocks_of(network)[1:] if block.name not in own]
    fitted = _fitted(network, full, rest, inputs)
    arrays = dict(network.arrays)
    heads = dict.fromkeys(own, head)
    for block in rest:
        heads[block.name], weights = fitted[block.name]
        arrays |= weights
    return replace(network, arrays=arrays, exit_heads=heads)


def _sharing(network: TrainedNetwork) -> list[str]:
    """Blocks from which only skippable blocks lead to the head; never the network's first segment."""
    *body, _ = network.segments
    names: list[str] = []
    for segment in reversed(body[1:]):
        if not segment.skippable:
            break
        names.append(segment.name)
    return names[::-1]


def _fitted(
    network: TrainedNetwork, full: Knobs, blocks: list[Segment], inputs: Array
) -> dict[str, tuple[Segment, Mapping[str, WeightArray]]]:
    features: dict[str, list[Rows]] = {block.name: [] for block in blocks}

    def watch(block: str, seen: Seen) -> None:
        if block in features:
            features[block].append(_pooled(seen.x).numpy())

    outputs = run(EagerEngine(network).build(full), inputs, watch).outputs
    return {block.name: _head(block, np.concatenate(features[block.name]), outputs) for block in blocks}


def _head(block: Segment, features: Rows, outputs: Rows) -> tuple[Segment, Mapping[str, WeightArray]]:
    fit = Regression(features.shape[1], outputs.shape[1])
    fit.add(features, outputs)
    found = fit.linear(RIDGE)
    name = f"{block.name}.exit"
    nodes: list[Node] = []
    source = Ref(INPUT)
    if len(block.input_shape) > 1:
        axes = (2, 3) if len(block.input_shape) == 3 else (1,)
        nodes.append(Node("pooled", "aten.mean.dim", (source, axes), (features.shape[1],)))
        source = Ref("pooled")
    weight, bias = Weight(f"{name}.weight"), Weight(f"{name}.bias")
    nodes.append(Node("answer", "aten.linear.default", (source, weight, bias), (outputs.shape[1],)))
    return Segment(name, block.input_shape, tuple(nodes)), {weight.weight: found.weight, bias.weight: found.bias}


def _pooled(x: torch.Tensor) -> torch.Tensor:
    """Means over positions: (n, channels, h, w) or (n, positions, channels) to (n, channels)."""
    return x.mean((2, 3)) if x.ndim == 4 else x.mean(1) if x.ndim == 3 else x
