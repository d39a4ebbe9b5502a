"""What a setting costs against the full model, counted and not timed, so that it repeats."""

from dataclasses import dataclass

from agent.engines.eager import EagerNetwork, Pass
from agent.models.flops import gate_flops, segment_flops
from agent.models.knobs import Knobs
from agent.models.network import Network


@dataclass(frozen=True, slots=True)
class Cost:
    """Share of the full model's operations and of its fp32 weight bytes."""

    flops_ratio: float
    resident_ratio: float

    @property
    def total(self) -> float:
        """Both with equal say: the search has no device in view, so neither counts more."""
        return (self.flops_ratio + self.resident_ratio) / 2


class CostModel:
    """Counts for one network."""

    def __init__(self, network: Network, full_bytes: int) -> None:
        self._full_bytes = full_bytes
        self._blocks = {segment.name: segment for segment in network.segments if segment.skippable}
        self._flops = {segment.name: segment_flops(segment, network.weight_shapes) for segment in network.segments}
        self._always = sum(flops for name, flops in self._flops.items() if name not in self._blocks)

    def cost(self, knobs: Knobs, network: EagerNetwork, done: Pass) -> Cost:
        """Cost over the samples of one pass: executed blocks, parts that always run, every gate's score."""
        samples = len(done.outputs)
        flops = samples * self._always
        flops += sum(count * self._flops[block] for block, count in done.executed.items())
        flops += samples * sum(gate_flops(self._blocks[block]) for block in knobs.thresholds)
        return Cost(
            flops / (samples * sum(self._flops.values())), network.weights_resident_bytes / self._full_bytes
        )
