"""Gates in fp32 between values that stay as ONNX Runtime computes them, with their channels in blocks (NCHWc).

ONNX Runtime can't see across an `If`: it turns what goes into a branch to its blocks, and what comes out back, and
no longer adds a shortcut inside the convolution before it. So each graph of a partition is optimized alone, the
transposes at its ends are taken off, and the optimized subgraphs are put together around the gates. Where it knows
no blocks, or channels don't fill them, nothing of this applies and the partition is built as any other.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.gate import emit_score
from tidegate.engines.onnxruntime.graph import PartitionBuilder, branch
from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.model_cache import let_go_with
from tidegate.engines.onnxruntime.optimized_subgraphs import (
    BLOCKS,
    NothingKept,
    OptimizedSubgraph,
    OptimizedSubgraphs,
    fills_blocks,
)
from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, OnnxNode, model_bytes
from tidegate.engines.onnxruntime.protobuf_reader import UnreadableModel
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import open_session
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.execution import Subgraph
from tidegate.engines.plan.partitions import Partition
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.graph import Segment
from tidegate.models.ladder import Activity
from tidegate.models.network import Network

log = logging.getLogger(__name__)

_ACTIVITIES = frozenset({Activity.MEAN_ABS, Activity.RMS, Activity.MAX, Activity.SPARSITY})
"""Those that look at the block's input alone, in any order of its values."""


def open_in_nchwc(
    partition: Partition,
    arithmetic: Arithmetic,
    network: Network,
    cache: NetworkCache,
    threads: int,
    spin: bool,
) -> InferenceSession | None:
    """A session over the partition in fp32, with values in blocks between the gates that allow it.

    None where none does, or where there is no place for files.
    """
    gated = [subgraph for subgraph in partition.gated if fills_blocks(subgraph.shape)]
    if not gated or arithmetic.activity not in _ACTIVITIES:
        return None
    # Once more without the files that turned out to be damaged.
    for _ in range(2):
        optimized = OptimizedSubgraphs(network, cache)
        try:
            if not any(_stays_in_blocks(subgraph, optimized.of(subgraph.graphs)) for subgraph in gated):
                return None
            graph = _NchwcBuilder(
                partition, arithmetic, Initializers(network), optimized.of(partition.graphs)
            ).build()
            session = open_session(model_bytes(graph), optimized.folder, threads, spin, optimized=True)
        except NothingKept:
            return None
        except (UnreadableModel, UnsupportedPoint) as error:
            if not optimized.forget(error):
                log.warning("%s: values are turned at every gate: %s", partition.first.name, error)
                return None
        else:
            let_go_with(session, optimized.leases)
            return session
    return None


def _stays_in_blocks(subgraph: Subgraph, optimized: Mapping[str, OptimizedSubgraph]) -> bool:
    """Whether a gated subgraph's branches all go from blocks to blocks."""
    branches = [optimized[graph.name] for graph in (subgraph.graph, subgraph.stand_in) if graph is not None]
    return all(optimized.takes_blocks and optimized.gives_blocks for optimized in branches)


class _NchwcBuilder(PartitionBuilder):
    """Builds a partition out of optimized; knows of each value whether it is in blocks."""

    def __init__(
        self,
        partition: Partition,
        arithmetic: Arithmetic,
        initializers: Initializers,
        optimized: Mapping[str, OptimizedSubgraph],
    ) -> None:
        super().__init__(partition, arithmetic, initializers)
        self._optimized_by_name = optimized
        self._channels: dict[str, int] = {}
        """Of the values in blocks."""

    def _graph(self, build: GraphBuilder, subgraph: Subgraph, graph: Segment, value: str) -> str:
        del subgraph
        optimized = self._optimized_by_name[graph.name]
        given = (
            self._in_blocks(build, value, graph.input_shape[0])
            if optimized.takes_blocks
            else self._read(build, "", value, f"{graph.name}/plain")
        )
        names = {"": "", optimized.source: given}

        def named(name: str) -> str:
            return names.get(name, f"{graph.name}/{name}")

        for node in optimized.nodes:
            inputs, outputs = (tuple(named(name) for name in side) for side in (node.inputs, node.outputs))
            build.nodes.append(replace(node, inputs=inputs, outputs=outputs))
        build.tensors += [replace(each, name=named(each.name)) for each in optimized.constants]
        result = named(optimized.result)
        if optimized.gives_blocks:
            self._channels[result] = optimized.channels
        return result

    def _either(self, subgraph: Subgraph, value: str, turned: bool) -> str:
        in_blocks = _stays_in_blocks(subgraph, self._optimized_by_name)
        if in_blocks:
            value = self._in_blocks(self._build, value, subgraph.shape[0])
        else:
            value = self._read(self._build, "", value, f"{subgraph.name}/plain")
        result = super()._either(subgraph, value, turned)
        if in_blocks:
            self._channels[result] = subgraph.shape[0]
        return result

    def _inside(
        self, subgraph: Subgraph, graph: Segment, value: str, kind: ElementType, turned: bool
    ) -> OnnxGraph:
        del turned
        inner = GraphBuilder(graph.name, {})
        computed = self._graph(inner, subgraph, graph, value)
        if not _stays_in_blocks(subgraph, self._optimized_by_name):
            computed = self._read(inner, "", computed, f"{graph.name}/given")
        return branch(inner, computed, kind)

    def _float_score(
        self, build: GraphBuilder, subgraph: Subgraph, value: str, before: tuple[Subgraph, str] | None
    ) -> str:
        del before
        rank = 1 + len(subgraph.shape)
        return emit_score(build, self._arithmetic.activity, value, rank, never_negative=subgraph.never_negative)

    def _exit(self, leaving: Subgraph, value: str) -> None:
        super()._exit(leaving, self._read(self._build, "", value, f"{leaving.name}/leaving"))

    def _read(self, build: GraphBuilder, name: str, value: str, as_name: str) -> str:
        """The value with its channels first and whole."""
        del name
        channels = self._channels.get(value)
        if channels is None:
            return value
        build.nodes.append(OnnxNode("ReorderOutput", (value,), (as_name,), {"channels": channels}, BLOCKS))
        return as_name

    def _in_blocks(self, build: GraphBuilder, value: str, channels: int) -> str:
        if value in self._channels:
            return value
        turned = f"{build.name}/{value}/in_blocks"
        build.nodes.append(OnnxNode("ReorderInput", (value,), (turned,), {}, BLOCKS))
        self._channels[turned] = channels
        return turned
