"""A network as one ONNX graph: plain, or with every block inside an If whose gates are runtime inputs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.engines.onnx.operators import convert, convolution_attributes
from agent.engines.onnx.protobuf import ElementType, OnnxGraph, OnnxNode, TensorValue, ValueInfo, constants_of
from agent.engines.onnx.scope import Scope
from agent.engines.quantization import Grid, QuantizedWeight, Range, union
from agent.models.graph import INPUT, Node, Ref, Segment, Weight, layer_of
from agent.models.network import Network

X = "x"
Y = "y"
TAU = "tau"
GATED = "gated"
RUN = "run"
RAN = "ran"

_MAX_BIAS_CODE = 2**30
"""Half of what 32 bits hold: the products are added to it."""

_LAYERS = frozenset({"aten.conv2d.default", "aten.linear.default"})
_CUTS = frozenset({"aten.relu.default", "aten.hardtanh.default"})
"""Activations that only cut values off: a uint8 grid does the same, so ONNX Runtime drops them before one."""
_FOLLOW = frozenset(
    {
        "aten.adaptive_avg_pool2d.default",
        "aten.add.Tensor",
        "aten.cat.default",
        "aten.flatten.using_ints",
        "aten.max_pool2d.default",
        "aten.mean.dim",
        "aten.view.default",
        *_CUTS,
    }
)
"""Operators that ONNX Runtime computes on integers when all they read is integers."""
_SAME_GRID = frozenset({"aten.flatten.using_ints", "aten.max_pool2d.default", "aten.view.default"})


@dataclass(frozen=True, slots=True)
class GraphSetting:
    """What is built into a graph: blocks left out, layers in int8, and whether blocks have gates."""

    skip: frozenset[str] = frozenset()
    int8: frozenset[str] = frozenset()
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a graph's numbers come from. `ranges` are needed for int8 layers alone."""

    floats: Callable[[Iterable[str]], Sequence[TensorValue]]
    quantized: Callable[[str], QuantizedWeight]
    array: Callable[[str], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]
    ranges: Mapping[str, Range] = field(default_factory=dict)


def build_graph(network: Network, setting: GraphSetting, sources: Sources, show_all: bool = False) -> OnnxGraph:
    """The network as a graph from X to Y; with `show_all` every value is an output too, under `segment/node`.

    A gated graph also takes TAU (float), GATED and RUN (bool), one entry per block in order, and gives RAN. It is
    for one sample at a time. Raises UnsupportedPoint for an operator without ONNX form.
    """
    return _Builder(network, setting, sources).build(show_all)


class _Builder:
    def __init__(self, network: Network, setting: GraphSetting, sources: Sources) -> None:
        self._network = network
        self._setting = setting
        self._sources = sources
        self._segments = [segment for segment in network.segments if segment.name not in setting.skip]
        self._gated = [segment for segment in self._segments if segment.skippable and setting.gated]
        self._floats: dict[str, None] = {}
        self._coded = self._coded_values() if setting.int8 else {}
        self._grids = self._choose_grids()
        self._scope = Scope("", {})

    def build(self, show_all: bool) -> OnnxGraph:
        top = self._scope
        inputs = [ValueInfo(X, ElementType.FLOAT, ("batch", *self._network.segments[0].input_shape))]
        if self._gated:
            count = len(self._gated)
            inputs.append(ValueInfo(TAU, ElementType.FLOAT, (count,)))
            inputs += [ValueInfo(name, ElementType.BOOL, (count,)) for name in (GATED, RUN)]
            for name in (TAU, GATED, RUN):
                parts = tuple(f"{name}/{index}" for index in range(count))
                top.nodes.append(OnnxNode("Split", (name,), parts, {"axis": 0, "num_outputs": count}))
        value = self._leave(top, "", X)
        before = ""
        shown = []
        for segment in self._segments:
            if segment in self._gated:
                value = self._block(segment, before, value, self._gated.index(segment))
            else:
                value = self._segment(top, segment, before, value)
            shown += [f"{segment.name}/{node.name}" for node in segment.nodes]
            before = f"{segment.name}/{segment.nodes[-1].name}"
        top.emit("Identity", [self._read(top, before, value)], Y)
        outputs = [ValueInfo(Y, ElementType.FLOAT, ("batch", *self._network.segments[-1].output_shape))]
        if self._gated:
            top.emit("Concat", [f"{segment.name}/open" for segment in self._gated], RAN, axis=0)
            outputs.append(ValueInfo(RAN, ElementType.BOOL, (len(self._gated),)))
        if show_all:
            outputs += [ValueInfo(name, ElementType.FLOAT, None) for name in shown]
        constants = [*constants_of(top.constants), *self._sources.floats(self._floats)]
        return OnnxGraph("network", top.nodes, inputs, outputs, constants)

    def _block(self, segment: Segment, before: str, value: str, index: int) -> str:
        """The segment in an If, behind its gate; gives the name of what comes out."""
        top = self._scope
        gate = Scope(f"{segment.name}/gate", {})
        x = self._read(gate, before, value, f"{segment.name}/gate/x")
        magnitude = x if self._never_negative(segment) else gate.emit("Abs", [x], f"{segment.name}/gate/abs")
        axes = gate.constant(f"{segment.name}/gate/axes", np.arange(1, 1 + len(segment.input_shape)))
        score = gate.emit("ReduceMean", [magnitude, axes], f"{segment.name}/gate/score", keepdims=0)
        verdict = gate.emit("Greater", [score, f"{TAU}/{index}"], f"{segment.name}/gate/open")
        forced = Scope(f"{segment.name}/forced", {})
        forced.emit("Identity", [f"{RUN}/{index}"], f"{segment.name}/forced/open")
        top.nodes.append(
            OnnxNode(
                "If",
                (f"{GATED}/{index}",),
                (f"{segment.name}/open",),
                {
                    "then_branch": _branch(gate, verdict, ElementType.BOOL),
                    "else_branch": _branch(forced, f"{segment.name}/forced/open", ElementType.BOOL),
                },
            )
        )
        inner = Scope(segment.name, {})
        outer_floats, self._floats = self._floats, {}
        out = f"{segment.name}/{segment.nodes[-1].name}"
        computed = self._segment(inner, segment, before, value)
        # Weights live in the branch: ONNX Runtime lays out and fuses only what it finds in the same graph.
        inner_floats = self._sources.floats(self._floats)
        self._floats = outer_floats
        kind = ElementType.UINT8 if out in self._grids else ElementType.FLOAT
        passed = Scope(f"{segment.name}/passed", {})
        passed.emit("Identity", [value], f"{segment.name}/passed/x")
        result = f"{segment.name}/result"
        top.nodes.append(
            OnnxNode(
                "If",
                (f"{segment.name}/open",),
                (result,),
                {
                    "then_branch": _branch(inner, computed, kind, inner_floats),
                    "else_branch": _branch(passed, f"{segment.name}/passed/x", kind),
                },
            )
        )
        return result

    def _never_negative(self, segment: Segment) -> bool:
        """Whether nothing that reaches the segment is below 0, whichever gates before it are shut."""
        index = self._segments.index(segment)
        if index == 0:
            return False
        before = self._segments[index - 1]
        ends_positive = before.nodes[-1].operator in {"aten.relu.default", "aten.sigmoid.default"}
        return ends_positive and (before not in self._gated or self._never_negative(before))

    def _segment(self, scope: Scope, segment: Segment, before: str, value: str) -> str:
        """Emit the segment's nodes; gives the name of its output as it leaves (codes where it has a grid)."""
        scope.shapes = {INPUT: segment.input_shape} | {node.name: node.shape for node in segment.nodes}
        scope.values = {INPUT: self._read(scope, before, value, f"{segment.name}/input")}
        last = value
        for node in segment.nodes:
            name = f"{segment.name}/{node.name}"
            if node.layer in self._setting.int8 and node.operator in _LAYERS:
                self._int8_layer(scope, node, name, self._source_name(segment, node, before))
            else:
                self._floats |= dict.fromkeys(leaf.weight for leaf in node.leaves() if isinstance(leaf, Weight))
                convert(scope, node, name)
            last = self._leave(scope, name, name)
            scope.values[node.name] = self._read(scope, name, last, f"{name}/read")
        return last

    def _source_name(self, segment: Segment, node: Node, before: str) -> str:
        source = node.args[0]
        assert isinstance(source, Ref)  # noqa: S101 - a layer's first argument
        return before if source.ref == INPUT else f"{segment.name}/{source.ref}"

    def _leave(self, scope: Scope, name: str, value: str) -> str:
        """The value as codes where it has a grid."""
        grid = self._grids.get(name)
        if grid is None:
            return value
        self._grid_constants(name, grid)
        return scope.emit("QuantizeLinear", [value, f"{name}/scale", f"{name}/zero"], f"{name}/codes")

    def _read(self, scope: Scope, name: str, value: str, as_name: str | None = None) -> str:
        """The value in float32."""
        if name not in self._grids:
            return value
        return scope.emit("DequantizeLinear", [value, f"{name}/scale", f"{name}/zero"], as_name or f"{name}/float")

    def _grid_constants(self, name: str, grid: Grid) -> None:
        self._scope.constant(f"{name}/scale", np.asarray(grid.scale, np.float32))
        self._scope.constant(f"{name}/zero", np.asarray(grid.zero, np.uint8))

    def _int8_layer(self, scope: Scope, node: Node, output: str, source: str) -> None:
        weight_name = next(node.weights()).weight
        weight = self._sources.quantized(weight_name)
        x = scope.operand(node.args[0], output)
        tall = node.operator == "aten.linear.default" and len(node.shape) > 1
        codes = weight.codes.T if tall else weight.codes
        scope.constant(f"{weight_name}/codes", np.ascontiguousarray(codes))
        scope.constant(f"{weight_name}/scales", weight.scales)
        scope.constant(f"{weight_name}/zeros", np.zeros(len(weight.scales), np.int8))
        widened = f"{output}/weight"
        parts = [f"{weight_name}/codes", f"{weight_name}/scales", f"{weight_name}/zeros"]
        scope.emit("DequantizeLinear", parts, widened, axis=1 if tall else 0)
        bias_argument = node.args[2] if len(node.args) > 2 else None
        inputs = [x, widened]
        bias = bias_argument.weight if isinstance(bias_argument, Weight) else None
        inside = None if tall or bias is None else self._int32_bias(scope, bias, weight, source, output)
        if inside is not None:
            inputs.append(inside)
        product = output if inside is not None or bias is None else f"{output}/product"
        if node.operator == "aten.conv2d.default":
            scope.emit("Conv", inputs, product, **convolution_attributes(node))
        elif tall:
            scope.emit("MatMul", inputs, product)
        else:
            scope.emit("Gemm", inputs, product, transB=1)
        if bias is not None and product != output:
            values = self._sources.array(bias).reshape(-1, *[1] * (0 if tall else len(node.shape) - 1))
            scope.emit("Add", [product, scope.constant(f"{output}/bias/values", values)], output)

    def _int32_bias(
        self, scope: Scope, name: str, weight: QuantizedWeight, source: str, output: str
    ) -> str | None:
        """The bias in units of input scale x weight scale; None where those are too fine for 32 bits."""
        scales = (weight.scales.astype(np.float64) * self._grids[source].scale).astype(np.float32)
        exact = np.rint(self._sources.array(name) / scales.astype(np.float64))
        if np.abs(exact).max() > _MAX_BIAS_CODE:
            return None
        codes = exact.astype(np.int32)
        parts = [
            scope.constant(f"{output}/bias/codes", codes),
            scope.constant(f"{output}/bias/scales", scales),
            scope.constant(f"{output}/bias/zeros", np.zeros(len(scales), np.int32)),
        ]
        return scope.emit("DequantizeLinear", parts, f"{output}/bias", axis=0)

    def _coded_values(self) -> dict[str, str | None]:
        """Values that travel as codes; the value whose grid they take over, None for one of their own."""
        coded: dict[str, str | None] = {}
        before = ""
        for segment in self._segments:
            coded |= self._coded_in(segment, before, coded)
            before = f"{segment.name}/{segment.nodes[-1].name}"
        # Logits are compared, not computed on: they stay as exact as the last layer makes them.
        coded.pop(before, None)
        for run in self._runs():
            if any(name in coded for name in run):
                # Any of them can come out of the Ifs, so all have one form.
                coded |= {name: coded.get(name) for name in run}
        return coded

    def _coded_in(self, segment: Segment, before: str, known: Mapping[str, str | None]) -> dict[str, str | None]:
        def wide(name: str) -> str:
            return before if name == INPUT else f"{segment.name}/{name}"

        readers = Counter(leaf.ref for node in segment.nodes for leaf in node.leaves() if isinstance(leaf, Ref))
        only_reader = {
            leaf.ref: node
            for node in segment.nodes
            for leaf in node.leaves()
            if isinstance(leaf, Ref) and readers[leaf.ref] == 1
        }
        coded: dict[str, str | None] = {}
        on_codes: set[str] = set()
        for node in segment.nodes:
            sources = [wide(leaf.ref) for leaf in node.leaves() if isinstance(leaf, Ref)]
            is_layer = node.operator in _LAYERS and node.layer in self._setting.int8
            if is_layer:
                coded.setdefault(sources[0], None)
            follows = node.operator in _FOLLOW and all(
                source in coded or source in known or source in on_codes for source in sources
            )
            if not (is_layer or follows) or (node.layer is not None and not is_layer):
                continue
            on_codes.add(wide(node.name))
            after = only_reader.get(node.name)
            if after is not None and after.operator in _CUTS and node.operator not in _SAME_GRID:
                continue
            coded[wide(node.name)] = sources[0] if node.operator in _SAME_GRID else None
        return {name: owner for name, owner in coded.items() if name not in known}

    def _choose_grids(self) -> dict[str, Grid]:
        tied = self._tied_ranges()
        grids: dict[str, Grid] = {}
        for name, owner in self._coded.items():
            if name in tied:
                grids[name] = Grid.over(tied[name])
            elif owner is not None and owner in grids:
                grids[name] = grids[owner]
            else:
                grids[name] = Grid.over(self._sources.ranges[name])
        return grids

    def _tied_ranges(self) -> dict[str, Range]:
        """Ranges of values that a gate lets through either way: one grid over all of a run of blocks."""
        tied: dict[str, Range] = {}
        for run in self._runs():
            if run[0] in self._coded:
                span = union(self._sources.ranges[name] for name in run)
                tied |= dict.fromkeys(run, span)
        return tied

    def _runs(self) -> list[list[str]]:
        """Values around each run of gated blocks: what goes into the first, and what comes out of each."""
        runs: list[list[str]] = []
        entry, inside = "", False
        for segment in self._segments:
            gated = segment in self._gated
            if gated and not inside:
                runs.append([entry])
            entry, inside = self._output_of(segment), gated
            if gated:
                runs[-1].append(entry)
        return runs

    @staticmethod
    def _output_of(segment: Segment) -> str:
        return f"{segment.name}/{segment.nodes[-1].name}"


def _branch(scope: Scope, output: str, kind: ElementType, floats: Sequence[TensorValue] = ()) -> OnnxGraph:
    constants = [*constants_of(scope.constants), *floats]
    return OnnxGraph(scope.name, scope.nodes, (), (ValueInfo(output, kind, None),), constants)


def quantizable(network: Network) -> frozenset[str]:
    """Names of the convolutions and linear layers."""
    return frozenset(
        layer_of(next(node.weights()).weight)
        for segment in network.segments
        for node in segment.nodes
        if node.operator in _LAYERS and node.layer is not None
    )
