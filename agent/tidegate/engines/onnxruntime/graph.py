"""A part of a network as one ONNX graph: plain steps in a row, gated ones in an `If` with a stand-in as else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tidegate.engines.onnxruntime.adapted import Adapted, emit_on_codes, emit_on_floats, works_on_codes
from tidegate.engines.onnxruntime.converters import convert
from tidegate.engines.onnxruntime.gate import emit_mean_of_codes, emit_score
from tidegate.engines.onnxruntime.graph_builder import Scope
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.int8_layer import emit_int8_layer
from tidegate.engines.onnxruntime.partitions import Partition, Step
from tidegate.engines.onnxruntime.protobuf import (
    ElementType,
    OnnxGraph,
    OnnxNode,
    TensorValue,
    ValueInfo,
    constants_of,
)
from tidegate.engines.onnxruntime.quantization import has_integer_kernel
from tidegate.engines.plan.quantization import QuantParams
from tidegate.models.graph import INPUT, Ref, Segment, Weight
from tidegate.models.ladder import Activity
from tidegate.models.network import Shape

X = "x"
"""What comes in: the batch, or the value that another part carried on."""
Y = "y"
"""The answers; where samples may leave, those of the exit's head."""
CARRIED = "carried"
"""Where samples may leave: the value that the next part takes."""
MARGIN = "margin"
"""Where samples may leave: best minus second-best probability, (samples,)."""
TAU = "tau"
RAN = "ran"
"""Of gated parts: a threshold per gated step goes in, and whether each one ran comes out; both (steps,)."""
PREVIOUS = "previous"
"""The input of the block before, where a gate wants it: comes into a part, and goes out of the one before it."""
FRAME, FRESH, SEEN = "frame", "fresh", "seen"
"""`frame/BLOCK` and `seen/BLOCK`: a gate's input at the last frame and at this one; `fresh` (steps,): which gates
have seen none yet."""


_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True, slots=True)
class Setting:
    """How a part computes: layers in int8, AA-ReLU and parameters by value, what its gates look at."""

    int8: frozenset[str] = frozenset()
    adapted: Mapping[str, Adapted] = field(default_factory=dict)
    params_of: Mapping[str, QuantParams] = field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS


def build_graph(
    part: Partition,
    setting: Setting,
    numbers: Initializers,
    *,
    keep_previous: bool = False,
    show_all: bool = False,
) -> OnnxGraph:
    """The part as a graph from X to Y. One with gates is for one sample at a time.

    `keep_previous` gives the last block's input as PREVIOUS. With `show_all` every value of a part without gates
    is an output too, by its name. Raises UnsupportedPoint for an operator without ONNX form.
    """
    return Builder(part, setting, numbers).build(keep_previous, show_all)


def looks_back(part: Partition, setting: Setting) -> bool:
    """Whether the part's first gate wants PREVIOUS from the part before."""
    return setting.activity is Activity.BLOCK_CHANGE and part.first.gated


class Builder:
    """Builds one part from its segments' nodes. `blocked` has one that builds it from optimized pieces."""

    def __init__(self, part: Partition, setting: Setting, numbers: Initializers) -> None:
        self._part = part
        self._setting = setting
        self._numbers = numbers
        self._grids = setting.params_of
        self._gated = part.gated
        self._floats: dict[str, None] = {}
        self._scope = Scope("", {})
        self._inputs: list[ValueInfo] = []
        self._outputs: list[ValueInfo] = []

    def build(self, keep_previous: bool = False, show_all: bool = False) -> OnnxGraph:
        """For the arguments see `build_graph`."""
        value = self._entered()
        before: tuple[Step, str] | None = None
        for step in self._part.steps:
            out = self._step(step, value, before)
            if step.is_block:
                before = step, value
            value = out
        if self._gated:
            self._scope.emit("Concat", [f"{step.name}/open" for step in self._gated], RAN, axis=0)
            self._outputs.append(ValueInfo(RAN, ElementType.BOOL, (len(self._gated),)))
        if keep_previous and before is not None:
            step, taken = before
            self._give_float(step.into, taken, PREVIOUS, step.shape)
        leaving = self._part.leaving
        if leaving is None:
            last = self._part.steps[-1]
            self._give_float(last.out, value, Y, None)
        else:
            self._exit(leaving, value)
        if show_all:
            names = (f"{graph.name}/{node.name}" for graph in self._part.graphs for node in graph.nodes)
            self._outputs += [ValueInfo(name, ElementType.FLOAT, None) for name in names]
        scope = self._scope
        constants = [*constants_of(scope.constants), *scope.tensors, *self._numbers.floats(self._floats)]
        return OnnxGraph("part", scope.nodes, self._inputs, self._outputs, constants)

    def _entered(self) -> str:
        """Declare what comes in; gives the first value's name, as codes where it has parameters."""
        first = self._part.first
        value = X
        if first.into and first.into in self._grids:
            self._inputs.append(ValueInfo(X, ElementType.UINT8, self._carried_shape(first)))
            if self._is_turned(first):
                value = self._scope.emit("Transpose", [X], "entrance/back", perm=_TO_NCHW)
        else:
            self._inputs.append(ValueInfo(X, ElementType.FLOAT, ("batch", *first.shape)))
            value = self._leave(self._scope, first.into, X, "entrance")
        count = len(self._gated)
        if count:
            self._inputs.append(ValueInfo(TAU, ElementType.FLOAT, (count,)))
            self._split(TAU)
        if looks_back(self._part, self._setting):
            self._inputs.append(ValueInfo(PREVIOUS, ElementType.FLOAT, (1, *first.shape)))
        if self._setting.activity is Activity.FRAME_CHANGE and count:
            self._inputs.append(ValueInfo(FRESH, ElementType.BOOL, (count,)))
            self._split(FRESH)
            for step in self._gated:
                self._inputs.append(ValueInfo(f"{FRAME}/{step.name}", ElementType.FLOAT, (1, *step.shape)))
                self._outputs.append(ValueInfo(f"{SEEN}/{step.name}", ElementType.FLOAT, (1, *step.shape)))
        return value

    def _split(self, name: str) -> None:
        parts = tuple(f"{name}/{step.name}" for step in self._gated)
        self._scope.nodes.append(OnnxNode("Split", (name,), parts, {"axis": 0, "num_outputs": len(parts)}))

    def _give_float(self, name: str, value: str, output: str, shape: Shape | None) -> None:
        self._scope.emit("Identity", [self._read(self._scope, name, value, f"{output}/float")], output)
        sizes: tuple[int | str, ...] | None = None if shape is None else ("batch", *shape)
        self._outputs.append(ValueInfo(output, ElementType.FLOAT, sizes))

    def _exit(self, leaving: Step, value: str) -> None:
        """The head's answers with their margins, and the value for the samples that stay."""
        assert leaving.head is not None  # noqa: S101 - samples leave by a head
        top = self._scope
        answers = self._graph(top, leaving, leaving.head, value)
        top.emit("Identity", [answers], Y)
        shares = top.emit("Softmax", [answers], "margin/shares", axis=1)
        two = top.constant("margin/two", np.asarray([2], np.int64))
        top.nodes.append(OnnxNode("TopK", (shares, two), ("margin/best", "margin/which"), {"axis": 1}))
        signs = top.constant("margin/signs", np.asarray([1, -1], np.float32))
        signed = top.emit("Mul", ["margin/best", signs], "margin/signed")
        axes = top.constant("margin/axes", np.asarray([1], np.int64))
        top.emit("ReduceSum", [signed, axes], MARGIN, keepdims=0)
        if self._is_turned(leaving):
            top.emit("Transpose", [value], CARRIED, perm=_TO_NHWC)
        else:
            top.emit("Identity", [value], CARRIED)
        kind = ElementType.UINT8 if leaving.into in self._grids else ElementType.FLOAT
        self._outputs += [
            ValueInfo(Y, ElementType.FLOAT, None),
            ValueInfo(MARGIN, ElementType.FLOAT, ("batch",)),
            ValueInfo(CARRIED, kind, self._carried_shape(leaving)),
        ]

    def _step(self, step: Step, value: str, before: tuple[Step, str] | None) -> str:
        if step.gated:
            turned = self._is_turned(step) and step.out in self._grids
            given = value
            if turned:
                value = self._scope.emit("Transpose", [value], f"{step.name}/turned", perm=_TO_NHWC)
            # What a change is measured against has the channels first.
            looks_back = self._setting.activity in {Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE}
            channels, *sizes = step.shape
            shape = (*sizes, channels) if turned else step.shape
            self._gate(step, given if looks_back else value, shape, before)
            result = self._either(step, value, turned)
            if turned:
                result = self._scope.emit("Transpose", [result], f"{step.name}/back", perm=_TO_NCHW)
            return result
        return value if step.graph is None else self._graph(self._scope, step, step.graph, value)

    def _gate(self, step: Step, value: str, shape: Shape, before: tuple[Step, str] | None) -> None:
        """Emit `NAME/open`: whether the step's input scores above its threshold. `shape` is as codes lie."""
        scope = Scope(f"{step.name}/gate", {})
        activity = self._setting.activity
        params = self._grids.get(step.into)
        if activity is Activity.MEAN_ABS and params is not None and params.zero_point == 0:
            score = emit_mean_of_codes(scope, value, shape, params.scale)
        else:
            score = self._float_score(scope, step, value, before)
        fresh = activity is Activity.FRAME_CHANGE
        is_open = f"{step.name}/above" if fresh else f"{step.name}/open"
        scope.emit("Greater", [score, f"{TAU}/{step.name}"], is_open)
        if fresh:
            scope.emit("Or", [is_open, f"{FRESH}/{step.name}"], f"{step.name}/open")
        self._scope.nodes += scope.nodes
        self._scope.constants |= scope.constants

    def _float_score(self, scope: Scope, step: Step, value: str, before: tuple[Step, str] | None) -> str:
        x = self._read(scope, step.into, value, f"{step.name}/gate/x")
        activity = self._setting.activity
        other = ""
        if activity is Activity.FRAME_CHANGE:
            other = f"{FRAME}/{step.name}"
            scope.emit("Identity", [x], f"{SEEN}/{step.name}")
        elif activity is Activity.BLOCK_CHANGE:
            other = PREVIOUS
            if before is not None:
                other = self._read(scope, before[0].into, before[1], f"{step.name}/gate/previous")
        rank = 1 + len(step.shape)
        return emit_score(scope, activity, x, rank, before=other, never_negative=step.never_negative)

    def _is_turned(self, step: Step) -> bool:
        """Whether its input crosses the border of an `If` or a part with the channels last.

        ONNX Runtime's integer kernels want codes so. It turns them once and leaves them, but can't see across.
        """
        return len(step.shape) == 3 and step.into in self._grids

    def _carried_shape(self, step: Step) -> tuple[int | str, ...]:
        channels, *sizes = step.shape
        return ("batch", *sizes, channels) if self._is_turned(step) else ("batch", *step.shape)

    def _either(self, step: Step, value: str, turned: bool) -> str:
        """The block or what stands in for it; gives the name of what comes out."""
        assert step.graph is not None  # noqa: S101 - a gated step has a block to run
        kind = ElementType.UINT8 if step.out in self._grids else ElementType.FLOAT
        if step.stand_in is None:
            passed = Scope(f"{step.name}/passed", {})
            shut = branch(passed, passed.emit("Identity", [value], f"{step.name}/passed/x"), kind)
        else:
            shut = self._inside(step, step.stand_in, value, kind, turned)
        branches = {"then_branch": self._inside(step, step.graph, value, kind, turned), "else_branch": shut}
        self._scope.nodes.append(OnnxNode("If", (f"{step.name}/open",), (f"{step.name}/result",), branches))
        return f"{step.name}/result"

    def _inside(self, step: Step, graph: Segment, value: str, kind: ElementType, turned: bool) -> OnnxGraph:
        """The graph as a branch, with its weights: ONNX Runtime lays out and fuses only what is in one graph."""
        inner = Scope(graph.name, {})
        outer, self._floats = self._floats, {}
        if turned:
            value = inner.emit("Transpose", [value], f"{graph.name}/inside/taken", perm=_TO_NCHW)
        computed = self._graph(inner, step, graph, value)
        if turned:
            computed = inner.emit("Transpose", [computed], f"{graph.name}/inside/given", perm=_TO_NHWC)
        floats = self._numbers.floats(self._floats)
        self._floats = outer
        return branch(inner, computed, kind, floats)

    def _graph(self, scope: Scope, step: Step, graph: Segment, value: str) -> str:
        """Emit a graph's nodes; gives the name of its output as it leaves (codes where it has parameters)."""
        scope.shapes = {INPUT: graph.input_shape} | {node.name: node.shape for node in graph.nodes}
        scope.values = {INPUT: self._read(scope, step.into, value, f"{graph.name}/input")}
        last = value
        for node in graph.nodes:
            emitted = f"{graph.name}/{node.name}"
            if node.layer in self._setting.int8 and has_integer_kernel(node):
                source = node.args[0]
                assert isinstance(source, Ref)  # noqa: S101 - a layer's first argument
                params = self._grids[step.value(graph, source.ref)]
                emit_int8_layer(scope, node, emitted, params.scale, self._numbers)
            else:
                self._floats |= dict.fromkeys(leaf.weight for leaf in node.leaves if isinstance(leaf, Weight))
                convert(scope, node, emitted)
            name = step.value(graph, node.name)
            last = self._leave(scope, name, emitted, emitted)
            # ONNX Runtime computes what nobody reads: nobody here reads the last value.
            if node is not graph.nodes[-1]:
                scope.values[node.name] = self._read(scope, name, last, f"{emitted}/read")
        return last

    def _leave(self, scope: Scope, name: str, value: str, emitted: str) -> str:
        """A fresh value after its AA-ReLU, as codes where it has parameters."""
        adapted = self._setting.adapted.get(emitted)
        params = self._grids.get(name)
        if adapted is not None and (params is None or not works_on_codes(adapted, params)):
            value = emit_on_floats(scope, value, adapted, emitted)
            adapted = None
        if params is None:
            return value
        codes = scope.emit("QuantizeLinear", [value, *self._grid_constants(name)], f"{emitted}/codes")
        return codes if adapted is None else emit_on_codes(scope, codes, adapted, params, emitted)

    def _read(self, scope: Scope, name: str, value: str, as_name: str) -> str:
        """The value in float32."""
        if name not in self._grids:
            return value
        return scope.emit("DequantizeLinear", [value, *self._grid_constants(name)], as_name)

    def _grid_constants(self, name: str) -> tuple[str, str]:
        params = self._grids[name]
        return (
            self._scope.constant(f"{name}/params/scale", np.asarray(params.scale, np.float32)),
            self._scope.constant(f"{name}/params/zero", np.asarray(params.zero_point, np.uint8)),
        )


def branch(scope: Scope, output: str, kind: ElementType, floats: Sequence[TensorValue] = ()) -> OnnxGraph:
    """What was collected in a scope as a branch of an `If`."""
    constants = [*constants_of(scope.constants), *scope.tensors, *floats]
    return OnnxGraph(scope.name, scope.nodes, (), (ValueInfo(output, kind, None),), constants)
