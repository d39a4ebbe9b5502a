"""The onnx engine: ONNX Runtime sessions built from a network's segments. Imports no torch.

A network is cut into partitions where samples may leave; a partition is one session, and points share the
partitions that they have in common. Thresholds are inputs. A point certified on eager keeps eager's arithmetic,
weights rounded as eager rounds them and computed with in fp32, because its certificate says nothing of rounded
activations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakValueDictionary

import numpy as np

from tidegate.engines.engine import Answer, Array
from tidegate.engines.onnxruntime.converters import CONVERTERS
from tidegate.engines.onnxruntime.graph import PartitionSettings, build_graph, looks_back
from tidegate.engines.onnxruntime.initializers import Initializers, held_bytes
from tidegate.engines.onnxruntime.model_cache import PlainModel, open_kept
from tidegate.engines.onnxruntime.nchwc import open_in_nchwc
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import Session
from tidegate.engines.onnxruntime.session_pipeline import ReadyPartition, SessionPipeline
from tidegate.engines.onnxruntime.weights import weights_folder
from tidegate.engines.plan.adapted import Adapted, adapted_tensors
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import ExecutionPlan, Subgraph, plan_execution, with_signs
from tidegate.engines.plan.partitions import Partition, partitions_of
from tidegate.engines.plan.quantization import QuantParams, Range
from tidegate.engines.plan.tensors import is_quantizable_layer, plan_tensors
from tidegate.engines.resize import resized
from tidegate.engines.runtime.memory import return_freed
from tidegate.engines.runtime.network_cache import NO_CACHE, NetworkCache
from tidegate.engines.runtime.processor import weight_limit
from tidegate.engines.support import at_resolution, check_arithmetic, check_knobs, check_precisions, layers_of
from tidegate.models.graph import layer_of
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Activity, OperatingPoint, Precision
from tidegate.models.network import Network, all_segments, blocks_of

NAME = "onnx"
CAPABILITIES = Capabilities(
    precisions=frozenset({Precision.FP32, Precision.INT8, Precision.INT4}),
    on_integers=frozenset(name for name, converter in CONVERTERS.items() if converter.on_integers),
)


@dataclass(frozen=True, slots=True)
class _Arithmetic:
    """How a point computes: by layer, weights rounded as eager does or integers; AA-ReLU by value.

    With `in_blocks`, values may stay in ONNX Runtime's blocks between gates.
    """

    rounding: Mapping[str, Precision]
    codes: Mapping[str, Precision]
    adapted: Mapping[str, Adapted]
    activity: Activity
    resolution: tuple[int, int] | None
    threads: int
    in_blocks: bool


@dataclass(frozen=True, slots=True)
class _Key:
    """What a session is shared by: everything that is built into it."""

    way: tuple[tuple[str, ...], ...]
    rounding: tuple[tuple[str, Precision], ...]
    codes: tuple[tuple[str, Precision], ...]
    adapted: tuple[tuple[str, Adapted], ...]
    params_of: tuple[tuple[str, QuantParams], ...]
    activity: Activity | None
    enters: bool
    keep_previous: bool
    resolution: tuple[int, int] | None
    threads: int


class OnnxVariant:
    """An operating point ready to answer."""

    def __init__(self, point: OperatingPoint, pipeline: SessionPipeline, blocks: int) -> None:
        self._point = point
        self._pipeline: SessionPipeline | None = pipeline
        self._blocks = blocks

    @property
    def point(self) -> OperatingPoint:
        """The operating point it answers at."""
        return self._point

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights in its sessions, shared with other variants or not; 0 after `release`."""
        return 0 if self._pipeline is None else self._pipeline.weights_bytes

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape). Raises RuntimeError after `release`."""
        if self._pipeline is None:
            raise RuntimeError(f"operating point {self._point.name} was released and can't run")
        done = self._pipeline.run(_entering(batch, self._point.resolution))
        return Answer(done.outputs, done.executed, len(batch) * self._blocks - done.executed)

    def release(self) -> None:
        """Let go of the sessions; those that another variant shares stay."""
        self._pipeline = None
        return_freed()


class OnnxEngine:
    """Builds sessions; variants share the partitions that they have in common."""

    def __init__(
        self,
        network: Network,
        cache: NetworkCache = NO_CACHE,
        spin: bool = False,
    ) -> None:
        """For `spin` see `open_session`. Raises UnsupportedPoint for an operator without ONNX form."""
        self._network = network
        self._cache = cache
        self._spin = spin
        self._sessions: WeakValueDictionary[_Key, Session] = WeakValueDictionary()
        self._layers = _integer_layers(network)
        for graph in all_segments(network):
            build_graph(Partition((Subgraph(graph, "", graph),)), PartitionSettings(), Initializers(network))

    @property
    def name(self) -> str:
        """`onnx`."""
        return NAME

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_arithmetic(point, NAME)
        network = at_resolution(self._network, point.resolution)
        check_knobs(point, network)
        check_precisions(point, network, CAPABILITIES.precisions if point.engine == NAME else set(Precision), NAME)

    def prepare(self, point: OperatingPoint) -> OnnxVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        native = point.engine == NAME
        network = at_resolution(self._network, point.resolution)
        arithmetic = self._arithmetic(point, native)
        plan = with_signs(plan_execution(network, point))
        pipeline = self._pipeline(network, plan, arithmetic, point)
        return_freed()
        return OnnxVariant(point, pipeline, len(blocks_of(network)))

    def _arithmetic(self, point: OperatingPoint, native: bool) -> _Arithmetic:
        precisions = {layer: precision_of(point, layer) for layer in sorted(layers_of(self._network))}
        narrow = {layer: each for layer, each in precisions.items() if each is not Precision.FP32}
        return _Arithmetic(
            rounding={} if native else narrow,
            codes={layer: each for layer, each in narrow.items() if layer in self._layers} if native else {},
            adapted=adapted_tensors(self._network, point.activations),
            activity=point.activity,
            resolution=point.resolution,
            threads=point.threads,
            in_blocks=not narrow and not point.activations,
        )

    def _pipeline(
        self,
        network: Network,
        plan: ExecutionPlan,
        arithmetic: _Arithmetic,
        point: OperatingPoint,
    ) -> SessionPipeline:
        int8 = frozenset(arithmetic.codes)
        # Calibration's own: the device then computes with those that were certified.
        ranges = {name: Range(*span) for name, span in point.ranges.items()}
        params_of = plan_tensors(plan, int8, arithmetic.adapted, ranges, CAPABILITIES) if int8 else {}
        settings = PartitionSettings(int8, arithmetic.adapted, params_of, arithmetic.activity)
        partitions = partitions_of(plan)
        ready = []
        for partition, behind in zip(partitions, [*partitions[1:], None], strict=True):
            keep_previous = behind is not None and looks_back(behind, settings)
            key = _key(partition, arithmetic, params_of, keep_previous)
            opened = partial(self._opened, key, network, partition, settings, arithmetic, keep_previous)
            session = self._session(key, partition, opened)
            ready.append(ReadyPartition.of(partition, session, point.thresholds, point.exits))
        return SessionPipeline(ready)

    def _session(self, key: _Key, partition: Partition, opened: Callable[[], InferenceSession]) -> Session:
        session = self._sessions.get(key)
        if session is None:
            used = dict.fromkeys(name for graph in partition.graphs for name in graph.weights)
            session = Session(opened(), held_bytes(used, self._network, dict(key.codes)))
            self._sessions[key] = session
        return session

    def _opened(
        self,
        key: _Key,
        network: Network,
        partition: Partition,
        settings: PartitionSettings,
        arithmetic: _Arithmetic,
        keep_previous: bool,
    ) -> InferenceSession:
        if arithmetic.in_blocks:
            blocked = open_in_nchwc(partition, settings, network, self._cache, key.threads, self._spin)
            if blocked is not None:
                return blocked
        # Threads are the session's and not the model's.
        subject = f"{replace(key, threads=1)} {weight_limit()}"
        # fp32 weights stay in the bundle's file, so a model without codes is small and quickly made.
        directory = self._cache.model_directory(subject) if key.codes else None
        build = partial(self._model, network, partition, settings, arithmetic, keep_previous)
        return open_kept(
            self._cache.cache, directory, build, weights_folder(self._network), key.threads, self._spin
        )

    @staticmethod
    def _model(
        network: Network,
        partition: Partition,
        settings: PartitionSettings,
        arithmetic: _Arithmetic,
        keep_previous: bool,
    ) -> PlainModel:
        initializers = Initializers(network, arithmetic.rounding, arithmetic.codes)
        return PlainModel.of(build_graph(partition, settings, initializers, keep_previous=keep_previous))


def _key(
    partition: Partition, arithmetic: _Arithmetic, params_of: Mapping[str, QuantParams], keep_previous: bool
) -> _Key:
    layers = {layer_of(name) for graph in partition.graphs for name in graph.weights}
    subgraphs = [*partition.subgraphs, *([] if partition.leaving is None else [partition.leaving])]
    values = {each.tensor(graph, node.name) for each in subgraphs for graph in each.graphs for node in graph.nodes}
    values |= {subgraph.input_name for subgraph in subgraphs}
    return _Key(
        tuple(_names(subgraph) for subgraph in partition.subgraphs)
        + (
            ()
            if partition.leaving is None or partition.leaving.exit_head is None
            else ((partition.leaving.exit_head.name,),)
        ),
        tuple(sorted((layer, each) for layer, each in arithmetic.rounding.items() if layer in layers)),
        tuple(sorted((layer, each) for layer, each in arithmetic.codes.items() if layer in layers)),
        tuple(sorted((name, each) for name, each in arithmetic.adapted.items() if name in values)),
        tuple(sorted((name, params) for name, params in params_of.items() if name in values)),
        arithmetic.activity if partition.gated else None,
        partition.enters,
        keep_previous,
        arithmetic.resolution,
        arithmetic.threads,
    )


def _names(subgraph: Subgraph) -> tuple[str, ...]:
    """What tells a subgraph from others of the same network."""
    graphs = (subgraph.exit_head, subgraph.graph, subgraph.stand_in)
    return (subgraph.name, str(subgraph.gated), *("" if graph is None else graph.name for graph in graphs))


def _entering(batch: Array, resolution: tuple[int, int] | None) -> Array:
    x = np.require(batch, np.float32, ["C"])
    return x if resolution is None else np.require(resized(x, resolution), np.float32, ["C"])


def _integer_layers(network: Network) -> frozenset[str]:
    """Names of the convolutions and linear layers."""
    return frozenset(
        node.layer
        for graph in all_segments(network)
        for node in graph.nodes
        if is_quantizable_layer(node) and node.layer is not None
    )
