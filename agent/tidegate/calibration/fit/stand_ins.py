"""Fitting what stands in for skipped blocks, on unlabelled inputs of part S: closed form, no backpropagation.

A stand-in is a segment like any other, so that engines run it, bundles carry it and costs count it as they do
blocks. Fitted is the change that a block makes to its input. Where a block ends in a ReLU the fit is to what
comes before it and the stand-in ends in the same ReLU, because that part is exactly known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from tidegate.calibration.data.batches import batches
from tidegate.calibration.fit.ridge import Regression, Rows
from tidegate.engines.engine import Array
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.graph import INPUT, Node, Ref, Segment, Weight
from tidegate.models.graph.flops import segment_flops
from tidegate.models.graph.operators import ADD, CONV2D, LINEAR, MUL, RELU
from tidegate.models.graph.shortcut import shortcut_of
from tidegate.models.ladder import StandIn
from tidegate.models.network import TrainedNetwork, WeightArray
from tidegate.models.precision import Fp32Weight

MAX_COST = 0.25
"""Of the block's operations: a surrogate that costs more is fitted at the lowest rank that stays below it."""


Fitted = tuple[Segment, Mapping[str, WeightArray]]


def with_stand_ins(network: TrainedNetwork, inputs: Array) -> TrainedNetwork:
    """The network with an affine and a linear stand-in for every block, and shortcuts where shapes change."""
    fits = _regressions(network, inputs)
    stand_ins: dict[str, dict[StandIn, Segment]] = {}
    arrays = dict(network.arrays)
    for segment in network.segments:
        if segment.name in fits:
            block_flops = segment_flops(segment, network.weight_shapes)
            builder = _StandInBuilder(segment, fits[segment.name])
            affine, surrogate = builder.affine(), builder.surrogate(int(MAX_COST * block_flops))
            stand_ins[segment.name] = {StandIn.AFFINE: affine[0], StandIn.SURROGATE: surrogate[0]}
            arrays |= {**affine[1], **surrogate[1]}
        elif not segment.fixed and (shortcut := shortcut_of(segment)) is not None:
            stand_ins[segment.name] = {StandIn.SHORTCUT: shortcut}
    return replace(network, arrays=arrays, stand_ins=stand_ins)


def _regressions(network: TrainedNetwork, inputs: Array) -> dict[str, Regression]:
    """One per block, of its change on its input, over all samples and positions of the full model."""
    runners = []
    for segment in network.segments:
        weights = {name: Fp32Weight(torch.from_numpy(network.arrays[name])) for name in segment.weights}
        runners.append((segment, Interpreter(segment, weights)))
    fits = {
        segment.name: Regression(channels, channels)
        for segment in network.segments
        if segment.skippable
        for channels in [_channels(segment)]
    }
    with torch.inference_mode():
        for batch in batches(inputs):
            x = torch.from_numpy(np.require(batch, np.float32, ["C", "W"]))
            for segment, runner in runners:
                values = runner.values(x)
                if segment.name in fits:
                    rows = _rows(x.numpy())
                    fits[segment.name].add(rows, _rows(values[_target(segment)].numpy()) - rows)
                x = values[segment.nodes[-1].name]
    return fits


@dataclass(frozen=True, slots=True)
class _StandInBuilder:
    """Turns one block's regression into segments."""

    block: Segment
    fit: Regression

    def affine(self) -> Fitted:
        """x * scale + shift, per channel."""
        found = self.fit.affine()
        shape = (-1, 1, 1) if self._is_image else (-1,)
        name = f"{self.block.name}.affine"
        scale, shift = Weight(f"{name}.scale"), Weight(f"{name}.shift")
        nodes = (
            self._node("scaled", MUL, Ref(INPUT), scale),
            self._node("shifted", ADD, Ref("scaled"), shift),
        )
        # The fit is to the change, so the input itself comes on top.
        weights = {scale.weight: (found.scale + 1).reshape(shape), shift.weight: found.shift.reshape(shape)}
        return self._segment(name, nodes), weights

    def surrogate(self, flops: int) -> Fitted:
        """A 1x1 convolution or linear layer, or two of lower rank where one would cost more than `flops`."""
        channels = _channels(self.block)
        positions = math.prod(self.block.input_shape) // channels
        name = f"{self.block.name}.surrogate"
        if 2 * channels**2 * positions <= flops:
            found = self.fit.linear()
            mixed = self._mix("mixed", Ref(INPUT), name, channels)
            weight = found.weight + np.eye(channels, dtype=np.float32)
            return self._segment(name, (mixed,)), self._arrays(name, weight, found.bias)
        rank = max(1, flops // (4 * channels * positions))
        low = self.fit.low_rank(rank)
        nodes = (
            self._mix("down", Ref(INPUT), f"{name}.down", rank),
            self._mix("up", Ref("down"), f"{name}.up", channels),
            self._node("mixed", ADD, Ref("up"), Ref(INPUT)),
        )
        weights = self._arrays(f"{name}.down", low.down, np.zeros(rank, np.float32))
        return self._segment(name, nodes), weights | self._arrays(f"{name}.up", low.up, low.bias)

    @property
    def _is_image(self) -> bool:
        return len(self.block.input_shape) == 3

    def _mix(self, node: str, source: Ref, layer: str, outputs: int) -> Node:
        operator = CONV2D if self._is_image else LINEAR
        sizes = self.block.input_shape
        shape = (outputs, *sizes[1:]) if self._is_image else (*sizes[:-1], outputs)
        return Node(node, operator, (source, Weight(f"{layer}.weight"), Weight(f"{layer}.bias")), shape)

    def _arrays(self, layer: str, weight: WeightArray, bias: WeightArray) -> dict[str, WeightArray]:
        kernel = weight[:, :, None, None] if self._is_image else weight
        return {f"{layer}.weight": np.ascontiguousarray(kernel), f"{layer}.bias": bias}

    def _node(self, name: str, operator: str, *args: Ref | Weight) -> Node:
        return Node(name, operator, args, self.block.output_shape)

    def _segment(self, name: str, nodes: tuple[Node, ...]) -> Segment:
        if self.block.nodes[-1].operator == RELU:
            nodes = (*nodes, self._node("relu", RELU, Ref(nodes[-1].name)))
        return Segment(name, self.block.input_shape, nodes)


def _target(block: Segment) -> str:
    """The value that the linear part of a stand-in is to give."""
    last = block.nodes[-1]
    if last.operator == RELU and isinstance(last.args[0], Ref):
        return last.args[0].ref
    return last.name


def _channels(block: Segment) -> int:
    return block.input_shape[0] if len(block.input_shape) == 3 else block.input_shape[-1]


def _rows(values: Rows) -> Rows:
    """(samples, channels, h, w) or (samples, ..., channels) to (positions, channels)."""
    last = np.moveaxis(values, 1, -1) if values.ndim == 4 else values
    return last.reshape(-1, last.shape[-1])
