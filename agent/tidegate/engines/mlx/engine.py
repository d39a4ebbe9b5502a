"""The mlx engine: the whole ladder on Apple Silicon's GPU, without torch.

It computes in float32 on weights rounded as the reference rounds them, in every precision: a point certified on
eager has its arithmetic here, and so has one that names mlx. Narrow weights save memory and the reading of it.
Linear layers multiply with codes as they are; MLX has no convolution on codes, so those are widened for every
answer.
"""

from collections.abc import Mapping

from tidegate.engines.mlx.graph import build_program, check_convertible
from tidegate.engines.mlx.graph_builder import Program
from tidegate.engines.mlx.library import MlxLibrary
from tidegate.engines.mlx.memory_limits import MemoryLimits
from tidegate.engines.mlx.runtime import Tensor, mx
from tidegate.engines.mlx.stored_weight import WeightStore
from tidegate.engines.plan.adapted import Adapted, adapted_tensors
from tidegate.engines.plan.execution import Subgraph, plan_execution, weights_of
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.runtime.speculative_pipeline import SpeculativePipeline, Stage
from tidegate.engines.support import at_resolution, check_built, layers_of
from tidegate.models.graph import Segment
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network, all_segments, blocks_of

NAME = "mlx"


class MlxEngine:
    """Builds programs; variants share the weights that they have in common."""

    def __init__(self, network: Network, limits: MemoryLimits | None = None) -> None:
        """Applies the limits to this process. Raises UnsupportedPoint for an operator without MLX form."""
        (limits or MemoryLimits.within(None)).apply()
        self._network = network
        self._weights = WeightStore()
        for graph in all_segments(network):
            check_convertible(graph, network.weight_shapes)

    @property
    def name(self) -> str:
        """`mlx`."""
        return NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_built(point, self._network, frozenset(Precision), NAME)

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        network = at_resolution(self._network, point.resolution)
        plan = plan_execution(network, point)
        rounding = {layer: precision_of(point, layer) for layer in layers_of(network)}
        arrays = self._network.weights(weights_of(plan))
        read = self._weights.reader(arrays.__getitem__, rounding)
        adapted = adapted_tensors(network, point.activations)

        made: list[Program] = []

        def built(graph: Segment | None, settings: Mapping[str, Adapted]) -> Program | None:
            if graph is None:
                return None
            made.append(build_program(graph, read, settings))
            return made[-1]

        def stage(subgraph: Subgraph) -> Stage[Tensor]:
            return Stage(
                built(subgraph.graph, adapted if subgraph.may_run else {}),
                built(subgraph.stand_in, {}),
                built(subgraph.exit_head, {}),
                point.exits.get(subgraph.name, float("inf")),
                point.thresholds[subgraph.name] if subgraph.gated else None,
                subgraph.is_block,
                subgraph.always_runs,
            )

        stages = [stage(subgraph) for subgraph in plan]
        weights = {id(weight): weight for program in made for weight in program.weights}.values()
        # In this thread: a value that is still to be computed can't be had in another one.
        mx.eval([weight.tensors for weight in weights])
        held = sum(int(each.nbytes) for weight in weights for each in weight.tensors)
        pipeline = SpeculativePipeline(stages, point.activity, MlxLibrary(), held)
        return PipelineVariant(point, pipeline, len(blocks_of(network)))
