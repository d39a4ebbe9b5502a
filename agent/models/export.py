"""From a torch module to a segment: exported once at calibration, so that devices never run its code."""

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from agent.models.graph import INPUT, OPERATORS, Argument, BatchSize, Node, Ref, Segment, Weight

_BATCH_SIZE = "aten.sym_size.int"
_COPY = "aten.clone.default"
"""What dropout is at inference."""


class ExportError(Exception):
    """The module can't become a segment; the message names the operator or value and what is allowed."""


def export_segment(
    name: str, module: nn.Module, example: Tensor
) -> tuple[Segment, dict[str, npt.NDArray[np.float32]]]:
    """The module as a segment and its weights under full names (`name.parameter`).

    `example` is one batch of at least two samples, (n, *input shape). Raises ExportError for what a segment can't
    say: an operator outside the allowlist, several inputs or outputs, a batch axis that is not the first.
    """
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        # torch 2.13's own code uses what it deprecates; nothing a user of this could change.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},)).run_decompositions(
            {}
        )
    signature = program.graph_signature
    tensors = {**program.state_dict, **program.constants}
    sources = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    reader = _Reader(name, {placeholder: f"{name}.{source}" for placeholder, source in sources.items()})
    nodes = tuple(reader.read(program.graph))
    segment = Segment(name, tuple(example.shape[1:]), nodes)
    weights = {weight: _array(tensors[weight.removeprefix(f"{name}.")], weight) for weight in segment.weights}
    return segment, weights


class _Reader:
    """Reads one fx graph; holds what its placeholders and batch sizes mean."""

    def __init__(self, segment: str, weights: dict[str, str]) -> None:
        self._segment = segment
        self._weights = weights
        self._values: dict[str, Argument] = {}

    def read(self, graph: fx.Graph) -> list[Node]:
        nodes = []
        for node in graph.nodes:
            if node.op == "placeholder":
                weight = self._weights.get(node.name)
                self._values[node.name] = Ref(INPUT) if weight is None else Weight(weight)
            elif node.op == "call_function" and str(node.target) == _BATCH_SIZE:
                if node.args[1] != 0:
                    raise ExportError(f"{self._segment}: axis {node.args[1]} varies; only the batch axis 0 may")
                self._values[node.name] = BatchSize()
            elif node.op == "call_function" and str(node.target) == _COPY:
                self._values[node.name] = self._argument(node.args[0])
            elif node.op == "call_function":
                nodes.append(self._call(node))
                self._values[node.name] = Ref(node.name)
            else:
                self._check_output(node, nodes)
        return nodes

    def _call(self, node: fx.Node) -> Node:
        operator = str(node.target)
        if operator not in OPERATORS:
            raise ExportError(f"{self._segment}: operator {operator} is not among {', '.join(sorted(OPERATORS))}")
        args = tuple(self._argument(argument) for argument in node.args)
        kwargs = {key: self._argument(argument) for key, argument in node.kwargs.items()}
        return Node(node.name, operator, args, tuple(int(size) for size in node.meta["val"].shape[1:]), kwargs)

    def _argument(self, argument: object) -> Argument:
        if isinstance(argument, fx.Node):
            return self._values[argument.name]
        if isinstance(argument, list | tuple):
            return tuple(self._argument(item) for item in argument)
        if argument is None or isinstance(argument, bool | int | float | str):
            return argument
        raise ExportError(f"{self._segment}: an argument of type {type(argument).__name__} can't be kept as data")

    def _check_output(self, node: fx.Node, nodes: list[Node]) -> None:
        outputs = [self._values[value.name] for value in node.all_input_nodes]
        if not nodes or outputs != [Ref(nodes[-1].name)]:
            raise ExportError(f"{self._segment}: the output must be one tensor, the last one computed")


def _array(tensor: Tensor, name: str) -> npt.NDArray[np.float32]:
    if tensor.dtype != torch.float32:
        raise ExportError(f"{name}: weights are float32 before calibration, found {tensor.dtype}")
    array: npt.NDArray[np.float32] = tensor.detach().contiguous().numpy()
    return array
