"""What a setting costs against the full model, counted and not timed, so that it repeats."""

from dataclasses import dataclass

from tidegate.engines.reference.staged import Pass, StagedNetwork
from tidegate.models.graph.flops import segment_flops
from tidegate.models.network import Network

DECISION_FLOPS = 500_000
"""What a gate's decision weighs in a search beside its own operations: it is half a dozen tiny operators and a
branch, 50 us and more of a core that does 10 GFLOP/s, as on a net of a millisecond. On large nets, and in 8 bits,
cores do more in that time. Only for choosing; published operations leave it out."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Share of the full model's operations and of its fp32 weight bytes; and what decisions weigh besides.

    `memory_ratio` is the share of bytes that a search goes by: of the weights, or of weights and activations.
    `time_ratio` is the share of processor time, decisions included, where it is known.
    """

    flops_ratio: float
    resident_ratio: float
    memory_ratio: float
    decision_ratio: float = 0.0
    time_ratio: float | None = None


class CostModel:
    """Counts operations and bytes of one network's settings; `full_bytes` are the full model's weights."""

    def __init__(self, network: Network, full_bytes: int, decision_flops: int = DECISION_FLOPS) -> None:
        self._full_bytes = full_bytes
        self._decision_flops = decision_flops
        self.full_flops = sum(segment_flops(segment, network.weight_shapes) for segment in network.segments)

    def cost(self, network: StagedNetwork, done: Pass) -> Cost:
        """Cost of one pass of a network: what ran in it, per sample."""
        full_flops = len(done.outputs) * self.full_flops
        resident_ratio = network.weights_resident_bytes / self._full_bytes
        return Cost(
            done.flops / full_flops,
            resident_ratio,
            resident_ratio,
            done.decisions * self._decision_flops / full_flops,
        )
