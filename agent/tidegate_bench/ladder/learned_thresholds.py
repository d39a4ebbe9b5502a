"""Thresholds learned on calibration data while all weights stay as they are.

The hard gate 1[A(x) > tau] has no slope, so a sigmoid takes its place while learning, and block and stand-in are
mixed by it. What is minimised is the loss against the full model's answers plus a price on the operations of
blocks; a higher price gives thresholds that skip more. Nothing but the thresholds moves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.gates import GateInput
from tidegate.models.gates.activity import score_of
from tidegate.models.graph import Segment
from tidegate.models.graph.flops import segment_flops
from tidegate.models.ladder import Activity, StandIn
from tidegate.models.network import Network, blocks_of
from tidegate.models.precision import Fp32Weight

STEPS = 30
_RATE = 0.2
_SOFTNESS = 0.25
"""Width of the sigmoid against the spread of a block's scores: hard enough to tell samples apart."""


@dataclass(frozen=True, slots=True)
class _Spread:
    mean: float
    deviation: float


class ThresholdLearner:
    """Learns one threshold per block of a network, for a kind of stand-in; blocks that lack it always run."""

    def __init__(
        self,
        network: Network,
        inputs: Array,
        stand_in: StandIn = StandIn.IDENTITY,
        activity: Activity = Activity.MEAN_ABS,
    ) -> None:
        self._segments = network.segments
        self._stand_in = stand_in
        self._activity = activity
        self._inputs = torch.from_numpy(np.require(inputs, np.float32, ["C", "W"]))
        stand_ins = {name: kinds[stand_in] for name, kinds in network.stand_ins.items() if stand_in in kinds}
        self._stand_ins = {name: _interpreter(network, segment) for name, segment in stand_ins.items()}
        self._parts = {segment.name: _interpreter(network, segment) for segment in network.segments}
        flops = {block.name: segment_flops(block, network.weight_shapes) for block in blocks_of(network)}
        gated = [block.name for block in blocks_of(network) if block.skippable or block.name in stand_ins]
        self._shares = {name: flops[name] / max(1, sum(flops.values())) for name in gated}
        with torch.no_grad():
            self._reference, scores = self._forward({})
        self._spreads = {
            name: _Spread(float(score.mean()), max(float(score.std()), 1e-6)) for name, score in scores.items()
        }

    def learn(self, price: float, steps: int = STEPS) -> KnobSettings:
        """Thresholds for a price on operations, in nats of loss per full model's worth of blocks."""
        # In standard deviations of each block's score, from where hardly anything is skipped.
        offsets = {name: torch.tensor(-2.0, requires_grad=True) for name in self._shares}
        optimiser = torch.optim.Adam(offsets.values(), lr=_RATE)
        log_p = self._reference.log_softmax(1)
        for _ in range(steps):
            outputs, gates = self._forward(offsets)
            loss = (log_p.exp() * (log_p - outputs.log_softmax(1))).sum(1).mean()
            work = torch.stack([gates[name].mean() * share for name, share in self._shares.items()]).sum()
            optimiser.zero_grad()
            (loss + price * work).backward()  # type: ignore[no-untyped-call]  # torch 2.13 types it so
            optimiser.step()
        thresholds = {name: self._tau(name, float(offset.detach())) for name, offset in offsets.items()}
        stand_ins = {} if self._stand_in is StandIn.IDENTITY else dict.fromkeys(thresholds, self._stand_in)
        return KnobSettings(thresholds=thresholds, stand_ins=stand_ins, activity=self._activity)

    def _forward(self, offsets: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Outputs, and by block its gate where `offsets` has one for it, else its score."""
        x = self._inputs
        previous: Tensor | None = None
        seen: dict[str, Tensor] = {}
        score = score_of(self._activity)
        for segment in self._segments:
            out = self._parts[segment.name](x)
            if segment.name in self._shares:
                value = score(GateInput(x, previous))
                offset = offsets.get(segment.name)
                if offset is not None:
                    spread = self._spreads[segment.name]
                    value = torch.sigmoid(((value - spread.mean) / spread.deviation - offset) / _SOFTNESS)
                    gate = value.reshape(-1, *([1] * (out.ndim - 1)))
                    passed = x if self._stand_in is StandIn.IDENTITY else self._stand_ins[segment.name](x)
                    out = gate * out + (1 - gate) * passed
                seen[segment.name] = value
                previous = x
            x = out
        return x, seen

    def _tau(self, block: str, offset: float) -> float:
        spread = self._spreads[block]
        tau = spread.mean + offset * spread.deviation
        if not math.isfinite(tau):
            raise ValueError(f"{block}: its threshold came out as {tau}; {self._activity} can't be learned")
        return tau


def _interpreter(network: Network, segment: Segment) -> Interpreter:
    weights = network.weights(segment.weights)
    return Interpreter(segment, {name: Fp32Weight(torch.tensor(array)) for name, array in weights.items()})
