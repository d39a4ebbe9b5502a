"""From a torch module to graphs: exported once at calibration, so that devices never run its code."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tidegate.models.graph import Segment
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.attention import with_plain_attention
from tidegate.models.importing.lowering import lower
from tidegate.models.importing.lowering.reader import ExportError, Reader
from tidegate.models.network import WeightArray

__all__ = ["ExportError", "Exported", "export_module", "export_segment"]

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


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


def export_module(module: nn.Module, example: Tensor, name: str = "", *, as_vector: bool = False) -> Exported:
    """The module at inference. Batch norms go into the convolution before them, or become a scale and a shift.

    `example` is one batch of at least two samples, (n, *input shape). With `as_vector` an output of any shape
    becomes a vector per sample, as answers are. Weights are named as in the module, behind
    `name` if there is one. Raises ExportError for what a segment can't say: an operator outside the allowlist,
    several inputs or outputs, a batch axis that is not the first.
    """
    where = name or type(module).__name__
    _check_parts(module, example, where)
    try:
        program = _program(module, example)
    # torch.export raises whatever the model's own code meets on the way, and several kinds of its own.
    except Exception as error:
        raise ExportError(f"{where}: can't be traced: {_first_line(error)}") from error
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
    reader = Reader(where, {key: f"{prefix}{source}" for key, source in sources.items()}, tensors)
    lower(program.graph, reader, as_vector=as_vector)
    segment = Segment(where, tuple(example.shape[1:]), tuple(reader.nodes))
    return Exported(segment, {weight: reader.array(weight) for weight in segment.weights}, reader.paths)


def _check_parts(module: nn.Module, example: Tensor, where: str) -> None:
    """What is known not to work, in words of modules rather than of operators."""
    for path, child in module.named_modules():
        if isinstance(child, _RECURRENT):
            raise ExportError(
                f"{where}: {path} is a {type(child).__name__}, whose loop over time a graph can't hold; "
                "convolutions over time or attention can take its place"
            )
        if isinstance(child, nn.Embedding):
            raise ExportError(
                f"{where}: {path} is an nn.Embedding, which looks numbers up; bundles take float32 or pixels. "
                "Let the factory return the model behind its embeddings, and feed those"
            )
    if not example.is_floating_point():
        raise ExportError(f"{where}: takes {example.dtype}; graphs start from float32")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    if "specialized" in text or "Constraints violated" in text:
        return (
            "the number of samples became fixed on the way; take it by x.shape[0] rather than len(x), "
            "and leave it out of reshapes by -1"
        )
    return text.partition("\n")[0] or type(error).__name__


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
            # Taking other operators apart is most of the time that an export takes.
            if all(str(node.target) in OPERATORS for node in exported.graph.nodes if node.op == "call_function"):
                return exported
            decomposed: torch.export.ExportedProgram = exported.run_decompositions({})
            return decomposed
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
