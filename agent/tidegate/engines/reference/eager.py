"""The reference engine: plain torch operators, one after the other. All other engines are checked against it."""

from collections.abc import Mapping
from functools import partial

from tidegate.engines.engine import REFERENCE
from tidegate.engines.plan.execution import Subgraph, plan_execution, weights_of
from tidegate.engines.reference.interpreter import Interpreter, check_runs
from tidegate.engines.reference.resolution import resized
from tidegate.engines.reference.staged import BoundGraph, Stage, StagedNetwork, stage
from tidegate.engines.reference.torch_variant import TorchVariant
from tidegate.engines.support import at_resolution, check_arithmetic, check_knobs
from tidegate.models.graph import Segment, layer_of
from tidegate.models.graph.flops import segment_flops
from tidegate.models.knobs import Knobs, precision_of
from tidegate.models.ladder import Activation, OperatingPoint, Precision
from tidegate.models.network import Network
from tidegate.models.precision import StoredWeight, store

NAME = REFERENCE


class EagerEngine:
    """Prepares variants from a network's master weights, which are read anew each time and never kept.

    With `keeps_weights` each weight is kept in every precision it was asked for: for a search, which builds
    hundreds of settings.
    """

    def __init__(self, network: Network, *, keeps_weights: bool = False) -> None:
        """Raises BundleError when the segments don't fit together."""
        check_runs(network)
        self._model = network
        self._keeps_weights = keeps_weights
        self._kept: dict[tuple[str, Precision], StoredWeight] = {}

    @property
    def name(self) -> str:
        """`eager`."""
        return NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for blocks, layers or stand-ins unknown here."""
        check_arithmetic(point, NAME)
        check_knobs(point, at_resolution(self._model, point.resolution))

    def prepare(self, point: OperatingPoint) -> TorchVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        return TorchVariant(point, self.build(point))

    def build(self, knobs: Knobs) -> StagedNetwork:
        """The network at a setting. Raises UnsupportedPoint for blocks, layers or stand-ins unknown here."""
        network = at_resolution(self._model, knobs.resolution)
        check_knobs(knobs, network)
        plan = plan_execution(network, knobs)
        stored = self._stored(network, {name: precision_of(knobs, layer_of(name)) for name in weights_of(plan)})
        held = sum(weight.nbytes for weight in stored.values())
        stages = tuple(self._stage(subgraph, knobs, stored) for subgraph in plan)
        return StagedNetwork(stages, held, partial(resized, resolution=knobs.resolution))

    def _stored(self, network: Network, wanted: Mapping[str, Precision]) -> dict[str, StoredWeight]:
        missing = network.weights([item[0] for item in wanted.items() if item not in self._kept])
        made = {(name, wanted[name]): store(array, wanted[name]) for name, array in missing.items()}
        stored = {item[0]: made[item] if item in made else self._kept[item] for item in wanted.items()}
        if self._keeps_weights:
            self._kept |= made
        return stored

    def _stage(self, subgraph: Subgraph, knobs: Knobs, stored: Mapping[str, StoredWeight]) -> Stage:
        def bound(graph: Segment, activations: Mapping[str, Activation] | None = None) -> BoundGraph:
            weights = {name: stored[name] for name in graph.weights}
            flops = segment_flops(graph, self._model.weight_shapes)
            return BoundGraph(Interpreter(graph, weights, activations), flops)

        return stage(
            subgraph,
            knobs,
            own=bound(subgraph.segment, knobs.activations) if subgraph.may_run else None,
            stand_in=None if subgraph.replacement is None else bound(subgraph.replacement),
            head=None if subgraph.exit_head is None else bound(subgraph.exit_head),
        )
