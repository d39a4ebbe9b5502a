"""Gates in fp32 between values that stay as ONNX Runtime computes them, with their channels in blocks (NCHWc).

ONNX Runtime can't see across an `If`: it turns what goes into a branch to its blocks, and what comes out back, and
no longer adds a shortcut inside the convolution before it. So each graph of a part is optimized alone, the turning
at its ends is taken off, and the pieces are put together around the gates. Where it knows no blocks, or channels
don't fill them, nothing of this applies and the part is built as any other.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.gate import emit_score
from tidegate.engines.onnxruntime.graph import Builder, Setting, branch
from tidegate.engines.onnxruntime.graph_builder import Scope
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.model_cache import let_go_with
from tidegate.engines.onnxruntime.optimized_subgraphs import (
    BLOCKS,
    NothingKept,
    OptimizedSubgraph,
    OptimizedSubgraphs,
    fills_blocks,
)
from tidegate.engines.onnxruntime.partitions import Partition, Step
from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, OnnxNode, model_bytes
from tidegate.engines.onnxruntime.protobuf_reader import UnreadableModel
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import open_session
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.graph import Segment
from tidegate.models.ladder import Activity
from tidegate.models.network import Network

log = logging.getLogger(__name__)

_ACTIVITIES = frozenset({Activity.MEAN_ABS, Activity.RMS, Activity.MAX, Activity.SPARSITY})
"""Those that look at the block's input alone, in any order of its values."""


def open_blocked(
    part: Partition, setting: Setting, network: Network, cache: NetworkCache, threads: int, spin: bool
) -> InferenceSession | None:
    """A session over the part in fp32, with values in blocks between the gates that allow it.

    None where none does, or where there is no place for files.
    """
    gated = [step for step in part.gated if fills_blocks(step.shape)]
    if not gated or setting.activity not in _ACTIVITIES:
        return None
    # Once more without the files that turned out to be damaged.
    for _ in range(2):
        pieces = OptimizedSubgraphs(network, cache)
        try:
            if not any(_stays_in_blocks(step, pieces.of(step.graphs)) for step in gated):
                return None
            graph = _BlockedBuilder(part, setting, Initializers(network), pieces.of(part.graphs)).build()
            session = open_session(model_bytes(graph), pieces.folder, threads, spin, optimized=True)
        except NothingKept:
            return None
        except (UnreadableModel, UnsupportedPoint) as error:
            if not pieces.forget(error):
                log.warning("%s: values are turned at every gate: %s", part.first.name, error)
                return None
        else:
            let_go_with(session, pieces.leases)
            return session
    return None


def _stays_in_blocks(step: Step, pieces: Mapping[str, OptimizedSubgraph]) -> bool:
    """Whether a gated step's branches all go from blocks to blocks."""
    branches = [pieces[graph.name] for graph in (step.graph, step.stand_in) if graph is not None]
    return all(piece.takes_blocks and piece.gives_blocks for piece in branches)


class _BlockedBuilder(Builder):
    """Builds a part out of pieces; knows of each value whether it is in blocks."""

    def __init__(
        self, part: Partition, setting: Setting, numbers: Initializers, pieces: Mapping[str, OptimizedSubgraph]
    ) -> None:
        super().__init__(part, setting, numbers)
        self._pieces = pieces
        self._channels: dict[str, int] = {}
        """Of the values in blocks."""

    def _graph(self, scope: Scope, step: Step, graph: Segment, value: str) -> str:
        del step
        piece = self._pieces[graph.name]
        given = (
            self._in_blocks(scope, value, graph.input_shape[0])
            if piece.takes_blocks
            else self._read(scope, "", value, f"{graph.name}/plain")
        )
        names = {"": "", piece.source: given}

        def named(name: str) -> str:
            return names.get(name, f"{graph.name}/{name}")

        for node in piece.nodes:
            inputs, outputs = (tuple(named(name) for name in side) for side in (node.inputs, node.outputs))
            scope.nodes.append(replace(node, inputs=inputs, outputs=outputs))
        scope.tensors += [replace(each, name=named(each.name)) for each in piece.constants]
        result = named(piece.result)
        if piece.gives_blocks:
            self._channels[result] = piece.channels
        return result

    def _either(self, step: Step, value: str, turned: bool) -> str:
        in_blocks = _stays_in_blocks(step, self._pieces)
        if in_blocks:
            value = self._in_blocks(self._scope, value, step.shape[0])
        else:
            value = self._read(self._scope, "", value, f"{step.name}/plain")
        result = super()._either(step, value, turned)
        if in_blocks:
            self._channels[result] = step.shape[0]
        return result

    def _inside(self, step: Step, graph: Segment, value: str, kind: ElementType, turned: bool) -> OnnxGraph:
        del turned
        inner = Scope(graph.name, {})
        computed = self._graph(inner, step, graph, value)
        if not _stays_in_blocks(step, self._pieces):
            computed = self._read(inner, "", computed, f"{graph.name}/given")
        return branch(inner, computed, kind)

    def _float_score(self, scope: Scope, step: Step, value: str, before: tuple[Step, str] | None) -> str:
        del before
        rank = 1 + len(step.shape)
        return emit_score(scope, self._setting.activity, value, rank, never_negative=step.never_negative)

    def _exit(self, leaving: Step, value: str) -> None:
        super()._exit(leaving, self._read(self._scope, "", value, f"{leaving.name}/leaving"))

    def _read(self, scope: Scope, name: str, value: str, as_name: str) -> str:
        """The value with its channels first and whole."""
        del name
        channels = self._channels.get(value)
        if channels is None:
            return value
        scope.nodes.append(OnnxNode("ReorderOutput", (value,), (as_name,), {"channels": channels}, BLOCKS))
        return as_name

    def _in_blocks(self, scope: Scope, value: str, channels: int) -> str:
        if value in self._channels:
            return value
        turned = f"{scope.name}/{value}/in_blocks"
        scope.nodes.append(OnnxNode("ReorderInput", (value,), (turned,), {}, BLOCKS))
        self._channels[turned] = channels
        return turned
