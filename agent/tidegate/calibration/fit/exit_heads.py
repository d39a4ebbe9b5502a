"""Where samples may leave the network early, and with which head.

Behind the last change of shape all blocks speak the head's language, and the network's own head answers. Before
it a linear head is fitted to the full model's outputs on unlabelled inputs of part S, in closed form, on means
over positions: over each quarter of an image, because early layers know what they see only by where it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional

from tidegate.calibration.data.batches import forward_all
from tidegate.calibration.fit.ridge import Regression, Rows
from tidegate.engines.engine import Array
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates import GateInput
from tidegate.models.graph import INPUT, Node, Ref, Segment, Weight
from tidegate.models.graph.operators import ADAPTIVE_AVG_POOL2D, FLATTEN, LINEAR, MEAN
from tidegate.models.knobs import Knobs
from tidegate.models.network import TrainedNetwork, WeightArray, blocks_of

RIDGE = 1e-2
"""Stronger than a stand-in's: one row per sample, not one per position."""

POOLED_SIDE = 2
"""Parts of an image's height, and of its width, that are averaged apart."""


def with_exit_heads(network: TrainedNetwork, full: Knobs, inputs: Array) -> TrainedNetwork:
    """The network with an exit before every block but the first segment; `full` is the setting without skips.

    A network with fewer than two outputs has no margin, and gets none.
    """
    *_, head = network.segments
    if len(head.output_shape) != 1 or head.output_shape[0] < 2:
        return network
    own = _with_the_networks_own(network)
    rest = [block for block in blocks_of(network)[1:] if block.name not in own]
    fitted = _fitted(network, full, rest, inputs)
    arrays = dict(network.arrays)
    heads = dict.fromkeys(own, head)
    for block in rest:
        heads[block.name], weights = fitted[block.name]
        arrays |= weights
    return replace(network, arrays=arrays, exit_heads=heads)


def _with_the_networks_own(network: TrainedNetwork) -> list[str]:
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
    pools = {block.name: _Pool.of(block.input_shape, len(inputs)) for block in blocks}
    features: dict[str, list[Rows]] = {block.name: [] for block in blocks}

    def watch(block: str, seen: GateInput) -> None:
        if block in pools:
            features[block].append(pools[block](seen.x).numpy())

    outputs = forward_all(EagerEngine(network).build(full), inputs, watch).outputs
    return {
        block.name: _head(block, pools[block.name], np.concatenate(features[block.name]), outputs)
        for block in blocks
    }


@dataclass(frozen=True, slots=True)
class _Pool:
    """From a block's input to the few features that a linear head can be fitted on."""

    shape: tuple[int, ...]
    side: int

    @classmethod
    def of(cls, shape: tuple[int, ...], samples: int) -> "_Pool":
        """Quarters of the image where it has even sides and there are samples enough, else the whole."""
        halves = len(shape) == 3 and all(side % POOLED_SIDE == 0 for side in shape[1:])
        return cls(shape, POOLED_SIDE if halves and shape[0] * POOLED_SIDE**2 <= samples else 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Features (samples, features) of a block's input (samples, *shape)."""
        if x.ndim == 4:
            return functional.adaptive_avg_pool2d(x, self.side).flatten(1)
        return x.mean(1) if x.ndim == 3 else x

    def nodes(self) -> tuple[Node, ...]:
        """The same as a graph; the last node's value are the features."""
        if len(self.shape) == 1:
            return ()
        if len(self.shape) == 2:
            return (Node("pooled", MEAN, (Ref(INPUT), (1,)), self.shape[1:]),)
        channels = self.shape[0]
        sides = (self.side, self.side)
        return (
            Node("pooled", ADAPTIVE_AVG_POOL2D, (Ref(INPUT), sides), (channels, *sides)),
            Node("flat", FLATTEN, (Ref("pooled"), 1), (channels * self.side**2,)),
        )


def _head(block: Segment, pool: _Pool, features: Rows, outputs: Rows) -> tuple[Segment, Mapping[str, WeightArray]]:
    fit = Regression(features.shape[1], outputs.shape[1])
    fit.add(features, outputs)
    found = fit.linear(RIDGE)
    name = f"{block.name}.exit"
    weight, bias = Weight(f"{name}.weight"), Weight(f"{name}.bias")
    pooled = pool.nodes()
    source = Ref(pooled[-1].name if pooled else INPUT)
    answer = Node("answer", LINEAR, (source, weight, bias), (outputs.shape[1],))
    segment = Segment(name, block.input_shape, (*pooled, answer))
    return segment, {weight.weight: found.weight, bias.weight: found.bias}
