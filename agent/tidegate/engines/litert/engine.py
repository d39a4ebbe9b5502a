"""The litert engine: LiteRT models built from a network's segments. Imports no torch and no TensorFlow.

A network is cut where samples may leave and where gates decide; a stage is one model, and points share the models
that they have in common. A point certified on eager keeps eager's arithmetic: weights rounded as eager rounds
them, computed with in fp32.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from tidegate.engines.litert.converters import CONVERTERS
from tidegate.engines.litert.int8_layer import DYNAMIC
from tidegate.engines.litert.model import Model, Weights, build_model, check_convertible
from tidegate.engines.litert.session import ReadyStage, Session, StagedPipeline
from tidegate.engines.plan.arithmetic import Arithmetic, ArithmeticKey, arithmetic_of
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import plan_execution, with_signs
from tidegate.engines.plan.margin_limit import margin_limit
from tidegate.engines.plan.quantization import (
    WEIGHT_LIMIT,
    QuantizedWeight,
    as_int4,
    quantize_weight,
)
from tidegate.engines.plan.rounding import rounded
from tidegate.engines.plan.stages import Stage, branch, stages_of
from tidegate.engines.runtime.memory import return_freed
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.support import at_resolution, check_built
from tidegate.models.graph import layer_of
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network, WeightArray, all_segments, blocks_of

NAME = "litert"
CAPABILITIES = Capabilities(
    precisions=frozenset({Precision.FP32, Precision.INT8, Precision.INT4}),
    on_integers=frozenset(name for name, converter in CONVERTERS.items() if converter.on_integers),
    dynamic=DYNAMIC,
)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a model is shared by: everything that is built into it."""

    graphs: tuple[tuple[str, str], ...]
    ends: tuple[str, str, bool, bool]
    arithmetic: ArithmeticKey
    resolution: tuple[int, int] | None


class LiteRtEngine:
    """Builds models; variants share those that they have in common."""

    def __init__(self, network: Network) -> None:
        """Raises UnsupportedPoint for an operator without LiteRT form."""
        self._network = network
        self._arrays: Mapping[str, WeightArray] | None = None
        self._models: WeakValueDictionary[_Key, Model] = WeakValueDictionary()
        for graph in all_segments(network):
            check_convertible(graph, network.weight_shapes)

    @property
    def name(self) -> str:
        """`litert`."""
        return NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_built(point, self._network, CAPABILITIES.precisions, NAME)

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        network = at_resolution(self._network, point.resolution)
        plan = with_signs(plan_execution(network, point))
        arithmetic = arithmetic_of(self._network, point, plan, CAPABILITIES, native=point.engine == NAME)
        weights = self._weights(arithmetic)

        def opened(stage: Stage) -> Session:
            key = _key(stage, arithmetic, point)
            model = self._models.get(key)
            if model is None:
                model = build_model(stage, arithmetic, weights)
                self._models[key] = model
            # An interpreter holds the values of its last run: variants that answer at the same time share none.
            return Session.open(model, point.threads)

        ready = [_ready(stage, point, opened) for stage in stages_of(plan)]
        return_freed()
        return PipelineVariant(point, StagedPipeline(ready, point.activity), len(blocks_of(network)))

    def _weights(self, arithmetic: Arithmetic) -> Weights:
        def array(name: str) -> WeightArray:
            precision = arithmetic.rounding.get(layer_of(name))
            return self._array(name) if precision is None else rounded(self._array(name), precision)

        def codes(name: str) -> QuantizedWeight:
            # XNNPACK adds up products in 32 bits on every processor: no narrower weights without VNNI.
            eight = quantize_weight(self._array(name), WEIGHT_LIMIT)
            return as_int4(eight) if arithmetic.codes[layer_of(name)] is Precision.INT4 else eight

        return Weights(array, codes)

    def _array(self, name: str) -> WeightArray:
        if self._arrays is None:
            self._arrays = self._network.weights(self._network.weight_shapes)
        return self._arrays[name]


def _ready(stage: Stage, point: OperatingPoint, opened: Callable[[Stage], Session]) -> ReadyStage:
    gated, leaving = stage.gated, stage.leaving
    block = stand_in = None
    if gated is not None:
        assert gated.graph is not None  # noqa: S101 - a gated subgraph has a block to run
        block = opened(branch(gated, gated.graph))
        stand_in = None if gated.stand_in is None else opened(branch(gated, gated.stand_in))
    return ReadyStage(
        stage,
        opened(stage),
        np.inf if leaving is None else margin_limit(point.exits[leaving.name]),
        np.inf if gated is None else point.thresholds[gated.name],
        block,
        stand_in,
        sum(run.subgraph.always_runs for run in stage.runs),
    )


def _key(stage: Stage, arithmetic: Arithmetic, point: OperatingPoint) -> _Key:
    leaving = stage.leaving
    heads = [] if leaving is None or leaving.exit_head is None else [(leaving, leaving.exit_head)]
    placed = [*((run.subgraph, run.graph) for run in stage.runs if run.graph is not None), *heads]
    layers = {layer_of(name) for _, graph in placed for name in graph.weights}
    values = {each.tensor(graph, node.name) for each, graph in placed for node in graph.nodes} | {stage.into}
    gated = stage.gated
    return _Key(
        tuple((run.subgraph.name, "" if run.graph is None else run.graph.name) for run in stage.runs),
        (
            "" if stage.leaving is None else stage.leaving.name,
            "" if gated is None else f"{gated.name} {gated.never_negative}",
            stage.enters,
            stage.answers,
        ),
        arithmetic.within(layers, values, gated=gated is not None),
        point.resolution,
    )
