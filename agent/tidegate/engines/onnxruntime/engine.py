"""The onnx engine: ONNX Runtime sessions built from a network's segments. Imports no torch.

A network is cut into partitions where samples may leave; a partition is one session, and points share the
partitions that they have in common. Thresholds are inputs. A point certified on eager keeps eager's arithmetic,
weights rounded as eager rounds them and computed with in fp32, because its certificate says nothing of rounded
activations.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakValueDictionary

from tidegate.engines.onnxruntime.converters import CONVERTERS
from tidegate.engines.onnxruntime.graph import build_graph, looks_back
from tidegate.engines.onnxruntime.initializers import Initializers, held_bytes
from tidegate.engines.onnxruntime.model_cache import PlainModel, open_kept
from tidegate.engines.onnxruntime.nchwc import open_in_nchwc
from tidegate.engines.onnxruntime.provider_session import open_on
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import Session
from tidegate.engines.onnxruntime.session_pipeline import ReadyPartition, SessionPipeline
from tidegate.engines.onnxruntime.weights import weights_folder
from tidegate.engines.plan.arithmetic import Arithmetic, ArithmeticKey, arithmetic_of
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import ExecutionPlan, Subgraph, plan_execution, with_signs
from tidegate.engines.plan.partitions import Partition, partitions_of
from tidegate.engines.runtime.memory import return_freed
from tidegate.engines.runtime.network_cache import NO_CACHE, NetworkCache
from tidegate.engines.runtime.onnx_providers import PROVIDERS
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.runtime.processor import weight_limit
from tidegate.engines.support import at_resolution, check_built, layers_of
from tidegate.models.graph import layer_of
from tidegate.models.graph.operators import LINEAR
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network, all_segments, blocks_of

NAME = "onnx"
CAPABILITIES = Capabilities(
    precisions=frozenset({Precision.FP32, Precision.INT8, Precision.INT4}),
    on_integers=frozenset(name for name, converter in CONVERTERS.items() if converter.on_integers),
    float_outputs=frozenset({LINEAR}),
)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a session is shared by: everything that is built into it."""

    graphs: tuple[tuple[str, ...], ...]
    arithmetic: ArithmeticKey
    nchwc: bool
    enters: bool
    keep_previous: bool
    resolution: tuple[int, int] | None
    threads: int


class OnnxEngine:
    """Builds sessions; variants share the partitions that they have in common."""

    def __init__(
        self,
        network: Network,
        cache: NetworkCache = NO_CACHE,
        spin: bool = False,
        name: str = NAME,
    ) -> None:
        """For `spin` see `open_session`; another `name` is one of PROVIDERS, whose compute unit answers then.

        Raises UnsupportedPoint for an operator without ONNX form.
        """
        self._network = network
        self._cache = cache
        self._spin = spin
        self._name = name
        self._provider = PROVIDERS.get(name)
        self._sessions: WeakValueDictionary[_Key, Session] = WeakValueDictionary()
        for graph in all_segments(network):
            build_graph(Partition((Subgraph(graph, "", graph),)), Arithmetic(), Initializers(network))

    @property
    def name(self) -> str:
        """`onnx`, or `onnx-cuda` and the like."""
        return self._name

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network."""
        check_built(point, self._network, CAPABILITIES.precisions, NAME)

    def prepare(self, point: OperatingPoint) -> PipelineVariant:
        """Raises UnsupportedPoint as `check` does."""
        self.check(point)
        network = at_resolution(self._network, point.resolution)
        plan = with_signs(plan_execution(network, point))
        pipeline = self._pipeline(network, plan, point)
        return_freed()
        return PipelineVariant(point, pipeline, len(blocks_of(network)))

    def _pipeline(self, network: Network, plan: ExecutionPlan, point: OperatingPoint) -> SessionPipeline:
        arithmetic = arithmetic_of(self._network, point, plan, CAPABILITIES, native=point.engine == NAME)
        # Blocks of channels are the CPU's.
        nchwc = self._provider is None and _may_use_nchwc(self._network, point)
        partitions = partitions_of(plan)
        ready = []
        for partition, behind in zip(partitions, [*partitions[1:], None], strict=True):
            keep_previous = behind is not None and looks_back(behind, arithmetic)
            key = _key(partition, arithmetic, point, nchwc, keep_previous)
            opened = partial(self._opened, key, network, partition, arithmetic)
            session = self._session(key, partition, opened)
            ready.append(ReadyPartition.of(partition, session, point.thresholds, point.exits))
        return SessionPipeline(ready, on_cpu=self._provider is None)

    def _session(self, key: _Key, partition: Partition, opened: Callable[[], InferenceSession]) -> Session:
        session = self._sessions.get(key)
        if session is None:
            used = dict.fromkeys(name for graph in partition.graphs for name in graph.weights)
            session = Session(opened(), held_bytes(used, self._network, dict(key.arithmetic.codes)))
            self._sessions[key] = session
        return session

    def _opened(
        self, key: _Key, network: Network, partition: Partition, arithmetic: Arithmetic
    ) -> InferenceSession:
        if key.nchwc:
            session = open_in_nchwc(partition, arithmetic, network, self._cache, key.threads, self._spin)
            if session is not None:
                return session
        if self._provider is not None:
            # A graph that was optimized for the CPU is none for others.
            model = self._model(network, partition, arithmetic, key.keep_previous)
            return open_on(self._provider, model, weights_folder(self._network), key.threads)
        # Threads are the session's and not the model's.
        subject = f"{replace(key, threads=1)} {weight_limit()}"
        # fp32 weights stay in the bundle's file, so a model without codes is small and quickly made.
        directory = self._cache.model_directory(subject) if key.arithmetic.codes else None
        build = partial(self._model, network, partition, arithmetic, key.keep_previous)
        return open_kept(
            self._cache.cache, directory, build, weights_folder(self._network), key.threads, self._spin
        )

    @staticmethod
    def _model(network: Network, partition: Partition, arithmetic: Arithmetic, keep_previous: bool) -> PlainModel:
        initializers = Initializers(network, arithmetic.rounding, arithmetic.codes)
        return PlainModel.of(build_graph(partition, arithmetic, initializers, keep_previous=keep_previous))


def _key(
    partition: Partition, arithmetic: Arithmetic, point: OperatingPoint, nchwc: bool, keep_previous: bool
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
        arithmetic.within(layers, values, gated=bool(partition.gated)),
        nchwc,
        partition.enters,
        keep_previous,
        point.resolution,
        point.threads,
    )


def _names(subgraph: Subgraph) -> tuple[str, ...]:
    """What tells a subgraph from others of the same network."""
    graphs = (subgraph.exit_head, subgraph.graph, subgraph.stand_in)
    return (subgraph.name, str(subgraph.gated), *("" if graph is None else graph.name for graph in graphs))


def _may_use_nchwc(network: Network, point: OperatingPoint) -> bool:
    """Whether values may stay in ONNX Runtime's blocks of channels between gates: where all is plain fp32."""
    return not point.activations and all(
        precision_of(point, layer) is Precision.FP32 for layer in layers_of(network)
    )
