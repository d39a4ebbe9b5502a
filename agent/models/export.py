"""From a torch module to graphs: exported once at calibration, so that devices never run its code."""

import operator as py_operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, fx, nn

from agent.models.attention import with_plain_attention
from agent.models.graph import INPUT, OPERATORS, Argument, BatchSize, Node, Ref, Segment, Weight
from agent.models.network import WeightArray

_BATCH_SIZE = "aten.sym_size.int"
_COPY = "aten.clone.default"
"""What dropout is at inference."""
_VIEWS = frozenset({"aten.view.default", "aten._unsafe_view.default"})
_TURNS = frozenset({_COPY, "aten.transpose.int", "aten.permute.default"})
_CONV = "aten.conv2d.default"
_BATCH_NORM = "aten._native_batch_norm_legit_no_training.default"


class ExportError(Exception):
    """The module can't become a segment; the message names the operator or value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A module as one segment, its weights by full name, and the path of the submodule each node comes from."""

    segment: Segment
    weights: Mapping[str, WeightArray]
    paths: Mapping[str, str]


def export_segment(name: str, module: nn.Module, example: Tensor) -> tuple[Segment, Mapping[str, WeightArray]]:
    """The module as a segment and its weights under full names (`name.parameter`); see `export_module`."""
    exported = export_module(module, example, name)
    return exported.segment, exported.weights


def export_module(module: nn.Module, example: Tensor, name: str = "") -> Exported:
    """The module at inference. Batch norms go into the convolution before them, or become a scale and a shift.

    `example` is one batch of at least two samples, (n, *input shape). Weights are named as in the module, behind
    `name` if there is one. Raises ExportError for what a segment can't say: an operator outside the allowlist,
    several inputs or outputs, a batch axis that is not the first.
    """
    program = _program(module, example)
    signature = program.graph_signature
    sources = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    prefix = f"{name}." if name else ""
    tensors = {
        f"{prefix}{source}": tensor for source, tensor in {**program.state_dict, **program.constants}.items()
    }
    where = name or type(module).__name__
    reader = _Reader(where, {key: f"{prefix}{source}" for key, source in sources.items()}, tensors)
    reader.read(program.graph)
    segment = Segment(where, tuple(example.shape[1:]), tuple(reader.nodes))
    return Exported(segment, {weight: reader.array(weight) for weight in segment.weights}, reader.paths)


def _program(module: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operator that no graph of ours could cut
    try:
        with warnings.catch_warnings():
            # torch 2.13's own code uses what it deprecates; nothing a user of this could change.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            plain = with_plain_attention(module.eval())
            exported = torch.export.export(plain, (example,), dynamic_shapes=({0: batch},))
            decomposed: torch.export.ExportedProgram = exported.run_decompositions({})
            return decomposed
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


class _Reader:
    """Reads one fx graph; holds what its placeholders and batch sizes mean."""

    def __init__(self, segment: str, weights: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
        self.nodes: list[Node] = []
        self.paths: dict[str, str] = {}
        self._segment = segment
        self._weights = weights
        self._tensors = dict(tensors)
        self._values: dict[str, Argument] = {}

    def read(self, graph: fx.Graph) -> None:
        """Fill `nodes` and `paths`."""
        for node in graph.nodes:
            if node.op == "placeholder":
                weight = self._weights.get(node.name)
                self._values[node.name] = Ref(INPUT) if weight is None else Weight(weight)
            elif node.op == "call_function":
                self._values[node.name] = self._value(node)
            else:
                self._check_output(node)

    def array(self, weight: str) -> WeightArray:
        """A weight's values. Raises ExportError unless they are float32."""
        tensor = self._tensors[weight]
        if tensor.dtype != torch.float32:
            raise ExportError(f"{weight}: weights are float32 before calibration, found {tensor.dtype}")
        array: WeightArray = np.ascontiguousarray(tensor.detach().numpy())
        return array

    def _value(self, node: fx.Node) -> Argument:
        operator = str(node.target)
        if operator == _BATCH_SIZE:
            if node.args[1] != 0:
                raise ExportError(f"{self._segment}: axis {node.args[1]} varies; only the batch axis 0 may")
            return BatchSize()
        if operator == _COPY or node.target is py_operator.getitem:
            return self._argument(node.args[0])
        if operator == _BATCH_NORM:
            return self._batch_norm(node)
        if operator in _VIEWS and _is_turned(node.args[0]):
            # Whether a view can be had depends on how attention laid out its result, which differs by machine.
            operator = "aten.reshape.default"
        if operator not in OPERATORS:
            raise ExportError(f"{self._segment}: operator {operator} is not among {', '.join(sorted(OPERATORS))}")
        args = tuple(self._argument(argument) for argument in node.args)
        kwargs = {key: self._argument(argument) for key, argument in node.kwargs.items()}
        return self._add(Node(node.name, operator, args, self._shape(node), kwargs), node)

    def _batch_norm(self, node: fx.Node) -> Argument:
        """Into the convolution before it where nothing else uses that or its weight, else two nodes of its own."""
        source, *rest = node.args[:5]
        gamma, beta, mean, variance = (self._tensor(argument) for argument in rest)
        scale = gamma / torch.sqrt(variance + float(str(node.args[6])))
        shift = beta - mean * scale
        if isinstance(source, fx.Node) and str(source.target) == _CONV and self._is_alone(source):
            return self._folded(source, scale, shift)
        path = self._path(node)
        names = [f"{path or node.name}.{what}" for what in ("scale", "shift")]
        for name, tensor in zip(names, (scale, shift), strict=True):
            self._tensors[name] = tensor.reshape(-1, 1, 1)
        shape = tuple(int(size) for size in node.meta["val"][0].shape[1:])
        scaled = self._add(
            Node(f"{node.name}_scaled", "aten.mul.Tensor", (self._argument(source), Weight(names[0])), shape), node
        )
        return self._add(Node(node.name, "aten.add.Tensor", (scaled, Weight(names[1])), shape), node)

    def _folded(self, source: fx.Node, scale: Tensor, shift: Tensor) -> Argument:
        index = next(i for i, node in enumerate(self.nodes) if node.name == source.name)
        x, weight, bias, *rest = (*self.nodes[index].args, None)[: max(3, len(self.nodes[index].args))]
        if not isinstance(weight, Weight):
            raise ExportError(f"{self._segment}: {source.name} has a kernel that is no weight")
        kernel = self._tensors[weight.weight]
        old = self._tensors[bias.weight] if isinstance(bias, Weight) else torch.zeros(())
        new_bias = bias.weight if isinstance(bias, Weight) else f"{weight.weight.rpartition('.')[0]}.bias"
        self._tensors[weight.weight] = kernel * scale.reshape(-1, 1, 1, 1)
        self._tensors[new_bias] = old * scale + shift
        self.nodes[index] = replace(self.nodes[index], args=(x, weight, Weight(new_bias), *rest))
        return Ref(source.name)

    def _is_alone(self, conv: fx.Node) -> bool:
        kernel = conv.args[1]
        return len(conv.users) == 1 and isinstance(kernel, fx.Node) and len(kernel.users) == 1

    def _tensor(self, argument: object) -> Tensor:
        weight = self._argument(argument)
        if not isinstance(weight, Weight):
            raise ExportError(f"{self._segment}: a batch norm needs weights, a bias and running statistics")
        return self._tensors[weight.weight].detach()

    def _add(self, node: Node, source: fx.Node) -> Ref:
        self.nodes.append(node)
        self.paths[node.name] = self._path(source)
        return Ref(node.name)

    def _path(self, node: fx.Node) -> str:
        stack = node.meta.get("nn_module_stack") or {}
        return str([path for path, _ in stack.values()][-1]) if stack else ""

    def _shape(self, node: fx.Node) -> tuple[int, ...]:
        batch, *sizes = node.meta["val"].shape
        if isinstance(batch, int) or not all(isinstance(size, int) for size in sizes):
            raise ExportError(
                f"{self._segment}: {node.name} has shape {tuple(node.meta['val'].shape)}; samples must stay along "
                "the first axis, and no other size may depend on their number"
            )
        return tuple(sizes)

    def _argument(self, argument: object) -> Argument:
        if isinstance(argument, fx.Node):
            if argument.name not in self._values:
                raise ExportError(f"{self._segment}: {argument.name} is no value that a graph can hold")
            return self._values[argument.name]
        if isinstance(argument, list | tuple):
            return tuple(self._argument(item) for item in argument)
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        raise ExportError(f"{self._segment}: an argument of type {type(argument).__name__} can't be kept as data")

    def _check_output(self, node: fx.Node) -> None:
        outputs = [self._values.get(value.name) for value in node.all_input_nodes]
        if not self.nodes or outputs != [Ref(self.nodes[-1].name)]:
            raise ExportError(f"{self._segment}: the output must be one tensor, the last one computed")


def _is_turned(argument: object) -> bool:
    return isinstance(argument, fx.Node) and str(argument.target) in _TURNS
