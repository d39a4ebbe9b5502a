"""Single graphs as ONNX Runtime has optimized them: from blocks of channels to blocks, where it computes so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tidegate.engines.onnxruntime.graph import X, Y, build_graph
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.model_cache import GRAPH, PlainModel, keep
from tidegate.engines.onnxruntime.protobuf import FileSlice, OnnxGraph, OnnxNode, TensorValue
from tidegate.engines.onnxruntime.protobuf_reader import ReadGraph, UnreadableModel, read_graph
from tidegate.engines.onnxruntime.weights import weights_folder
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.execution import Subgraph
from tidegate.engines.plan.partitions import Partition
from tidegate.engines.runtime.cache import Lease
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.graph import Segment
from tidegate.models.network import Network, Shape

BLOCKS = "com.microsoft.nchwc"
"""The domain of ONNX Runtime's operators on blocks."""
_WIDEST_BLOCK = 16
"""Blocks are as wide as the processor's vectors. Channels that fill the widest fill all: no padding is counted."""


@dataclass(frozen=True, slots=True)
class OptimizedSubgraph:
    """An optimized graph from `source` to `result`, either in blocks or not."""

    nodes: tuple[OnnxNode, ...]
    constants: tuple[TensorValue, ...]
    source: str
    result: str
    takes_blocks: bool
    gives_blocks: bool
    channels: int
    """Of the result, where that is in blocks."""


class NothingKept(Exception):  # noqa: N818 - reads as what it is at the call site
    """There is no place for files."""


class OptimizedSubgraphs:
    """The graphs of a network as ONNX Runtime optimizes them, from files that are made where there are none."""

    def __init__(self, network: Network, cache: NetworkCache) -> None:
        self._network = network
        self._cache = cache
        self._optimized_by_name: dict[str, OptimizedSubgraph] = {}
        self._read: dict[Path, bool] = {}
        self.leases: list[Lease] = []
        """Hold the directories of the files."""

    @property
    def folder(self) -> Path | None:
        """What the files of constants are relative to."""
        return self._cache.directory

    def of(self, graphs: Iterable[Segment]) -> Mapping[str, OptimizedSubgraph]:
        """The graphs as optimized, by name. Raises NothingKept; and UnreadableModel for a file that is damaged."""
        return {graph.name: self._optimized_subgraph(graph) for graph in graphs}

    def forget(self, error: Exception) -> bool:
        """Remove files that were there before; gives whether there were any."""
        found = [directory for directory, was_there in self._read.items() if was_there]
        for lease in self.leases:
            lease.close()
        for directory in found:
            self._cache.cache.discard(directory, error)
        return bool(found)

    def _optimized_subgraph(self, graph: Segment) -> OptimizedSubgraph:
        optimized = self._optimized_by_name.get(graph.name)
        if optimized is None:
            pooled = fills_blocks(graph.input_shape)
            optimized = stripped(self._optimized(graph, pooled), graph)
            if pooled and not optimized.takes_blocks:
                optimized = stripped(self._optimized(graph, pooled=False), graph)
            self._optimized_by_name[graph.name] = optimized
        return optimized

    def _optimized(self, graph: Segment, pooled: bool) -> ReadGraph:
        directory = self._cache.model_directory(f"optimized subgraph {graph.name} {graph.input_shape} {pooled}")
        if directory is None:
            raise NothingKept
        lease = self._cache.cache.hold(directory)
        self._read[directory] = lease is not None
        if lease is None:
            model = PlainModel.of(_whole(graph, Initializers(self._network), pooled))
            lease = keep(self._cache.cache, model, weights_folder(self._network), directory)
        if lease is None:
            raise NothingKept
        self.leases.append(lease)
        read = read_graph(_content(directory / GRAPH))
        return ReadGraph(read.nodes, tuple(_from(directory.name, each) for each in read.constants))


def _content(path: Path) -> bytes:
    """Raises UnreadableModel."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableModel(f"{path}: {error.strerror}") from error


def stripped(read: ReadGraph, graph: Segment) -> OptimizedSubgraph:
    """What ONNX Runtime made of a graph, without the turning to blocks and back at its ends."""
    nodes, source, result, channels = list(read.nodes), X, Y, 0
    turning, pooling = _only_reader(nodes, X, "ReorderInput"), None
    if turning is not None:
        pooling = _only_reader(nodes, turning.outputs[0], "MaxPool")
    if turning is not None and pooling is not None and not turning.attributes.get("channels_last"):
        nodes.remove(turning)
        nodes.remove(pooling)
        source = pooling.outputs[0]
    (last,) = (node for node in nodes if Y in node.outputs)
    turned = (last.domain, last.type) == (BLOCKS, "ReorderOutput") and not last.attributes.get("channels_last")
    if turned and fills_blocks(graph.nodes[-1].shape):
        nodes.remove(last)
        result, channels = last.inputs[0], graph.nodes[-1].shape[0]
    return OptimizedSubgraph(tuple(nodes), read.constants, source, result, source != X, result != Y, channels)


def _only_reader(nodes: Iterable[OnnxNode], value: str, kind: str) -> OnnxNode | None:
    """The one node that reads a value, if it is of that kind and works on blocks."""
    readers = [node for node in nodes if value in node.inputs]
    if len(readers) != 1 or (readers[0].domain, readers[0].type) != (BLOCKS, kind):
        return None
    return readers[0]


def _whole(graph: Segment, initializers: Initializers, pooled: bool) -> OnnxGraph:
    """The graph alone; `pooled` begins with a pooling over single pixels, which changes nothing.

    ONNX Runtime reads blocks from it everywhere. From a graph's input it reads them for convolutions alone, and
    adds a shortcut, which then isn't in blocks, behind the last convolution instead of inside it.
    """
    built = build_graph(Partition((Subgraph(graph, "", graph),)), Arithmetic(), initializers)
    if not pooled:
        return built
    entered = f"{graph.name}/entered"
    pooling = OnnxNode("MaxPool", (X,), (entered,), {"kernel_shape": (1, 1)})
    rest = (
        replace(node, inputs=tuple(entered if name == X else name for name in node.inputs)) for node in built.nodes
    )
    return replace(built, nodes=(pooling, *rest))


def _from(folder: str, constant: TensorValue) -> TensorValue:
    if not isinstance(constant.content, FileSlice):
        return constant
    return replace(constant, content=replace(constant.content, file=f"{folder}/{constant.content.file}"))


def fills_blocks(shape: Shape) -> bool:
    """Whether a value of that shape, without the batch, may be in blocks here."""
    return len(shape) == 3 and shape[0] % _WIDEST_BLOCK == 0
