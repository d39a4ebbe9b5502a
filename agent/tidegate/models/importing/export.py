"""From a torch module to graphs: exported once at calibration, so that devices never run its code."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch._ops import OperatorBase, OpOverload

from tidegate.models.graph import Segment
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.importing.any_batch import for_any_batch
from tidegate.models.importing.attention import with_plain_attention
from tidegate.models.importing.lowering import is_known, lower
from tidegate.models.importing.lowering.reader import ExportError, Reader
from tidegate.models.importing.one_output import a_copy
from tidegate.models.importing.recombining import recombined
from tidegate.models.network import WeightArray

__all__ = ["ExportError", "Exported", "export_module", "export_segment"]

_LONGEST_NAME = 180
"""Of the 200 characters that bundles allow: what is made of a name is longer."""


_NO_SIZE = 37
"""A number of samples that is no size of a network's own."""

_PARTS_OF_PARTS = 4
"""How often parts are taken apart themselves: an RMS norm becomes a fused one, and that arithmetic."""


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

    `example` is one batch of at least two samples, (n, *input shape), of whole numbers where the module takes
    those; a graph has them in float32. With `as_vector` an output of any shape
    becomes a vector per sample, as answers are. Weights are named as in the module, behind
    `name` if there is one. Raises ExportError for what a segment can't say: an operator outside the allowlist,
    several inputs or outputs, a batch axis that is not the first.
    """
    where = name or type(module).__name__
    try:
        program = _program(module, example)
    # torch.export raises whatever the model's own code meets on the way, and several kinds of its own.
    except Exception as error:
        raise ExportError(f"{where}: can't be traced: {_first_line(error)}") from error
    try:
        return _lowered(program, example, where, name, as_vector=as_vector)
    except ExportError as error:
        apart = _taken_apart(program, error.operators)
        if apart is None:
            raise
        # What is refused of the parts, a user has never written.
        with suppress(ExportError):
            return _lowered(apart, example, where, name, as_vector=as_vector)
        raise


def _lowered(
    program: torch.export.ExportedProgram, example: Tensor, where: str, name: str, *, as_vector: bool
) -> Exported:
    signature = program.graph_signature
    sources = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    held = {**program.state_dict, **program.constants}
    names = legal_names(held, f"{name}." if name else "")
    tensors = {names[source]: tensor for source, tensor in held.items() if isinstance(tensor, Tensor)}
    program.graph.eliminate_dead_code()
    reader = Reader(where, {key: names[source] for key, source in sources.items()}, tensors)
    lower(program.graph, reader, as_vector=as_vector)
    segment = Segment(where, tuple(example.shape[1:]), tuple(reader.nodes))
    whole, weights = recombined(segment, {weight: reader.array(weight) for weight in segment.weights})
    return Exported(whole, weights, {node.name: reader.paths[node.name] for node in whole.nodes})


def legal_names(sources: Iterable[str], prefix: str = "") -> dict[str, str]:
    """Names of weights as bundles have them, of letters, digits, `_`, `.` and `-`; each once."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for source in sources:
        legal = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{prefix}{source}")[-_LONGEST_NAME:].lstrip(".-") or "weight"
        layer, _, last = legal.rpartition(".")
        name, count = legal, 1
        while name in taken:
            count += 1
            name = f"{layer}_{count}.{last}" if layer else f"{last}_{count}"
        taken.add(name)
        found[source] = name
    return found


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    if _became_fixed(error):
        return (
            "the number of samples became fixed on the way; take it by x.shape[0] rather than len(x), "
            "and leave it out of reshapes by -1"
        )
    return text.partition("\n")[0] or type(error).__name__


def _became_fixed(error: Exception) -> bool:
    """Whether tracing took the number of samples for a number of the network's own, as `len(x)` gives it."""
    return "specialized" in str(error) or "Constraints violated" in str(error)


def _for_any_number(module: nn.Module, example: Tensor) -> nn.Module | None:
    """Traced for a number that nothing else in it has, and widened; None where that answers otherwise."""
    again = torch.cat([example] * (_NO_SIZE // len(example) + 1))[:_NO_SIZE]
    try:
        widened = for_any_batch(torch.export.export(module, (again,)))
        with torch.no_grad():
            for count in (2, 5):
                asked = again[:count]
                if not torch.allclose(widened(asked), module(asked), rtol=1e-3, atol=1e-4):
                    return None
    except Exception:  # noqa: BLE001 - as of tracing; the reason is that of the first try
        return None
    return widened


def _unrolled() -> dict[OperatorBase, Callable[..., Any]]:
    """What turns recurrent layers into their steps, one after the other."""
    names = ("lstm", "gru", "rnn_tanh", "rnn_relu")
    return get_decompositions([getattr(torch.ops.aten, n).input for n in names])


def _taken_apart(
    program: torch.export.ExportedProgram, refused: Sequence[str] = ()
) -> torch.export.ExportedProgram | None:
    """With operators that graphs don't know in parts, as torch takes them apart; None where it has no parts.

    So also the `refused`, which graphs know with other arguments.
    """
    apart = None
    for _ in range(_PARTS_OF_PARTS):
        parts = _parts_of(
            [each for each in _called_on_the_input(program) if str(each) in refused or not is_known(str(each))]
        )
        if not parts:
            break
        try:
            with _without_torchs_warnings():
                program = apart = program.run_decompositions(parts)
        except Exception:  # noqa: BLE001 - as of tracing, several kinds; the operators are refused by name then
            break
    return apart


def _called_on_the_input(program: torch.export.ExportedProgram) -> list[OpOverload]:
    """The operators that read what depends on the input: all else is computed beforehand, whatever it is."""
    depending = set(program.graph_signature.user_inputs)
    called: dict[OpOverload, None] = {}
    for node in program.graph.nodes:
        if any(each.name in depending for each in node.all_input_nodes):
            depending.add(node.name)
            if isinstance(node.target, OpOverload):
                called[node.target] = None
    return list(called)


def _parts_of(operators: Sequence[OpOverload]) -> dict[OperatorBase, Callable[..., Any]]:
    """How to take them apart, where torch says it: by its table, or as the operators are defined."""
    defined = torch.export.default_decompositions()
    return {**get_decompositions(operators), **{each: defined[each] for each in operators if each in defined}}


def in_float32(module: nn.Module) -> nn.Module:
    """A copy in float32: tracing may change a module, and weights may be of half precision."""
    copied = a_copy(module)
    has_others = any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in _tensors(copied))
    return copied.float() if has_others and copied is not module else copied


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _program(module: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operator that no graph of ours could cut
    try:
        with _without_torchs_warnings():
            plain = with_plain_attention(in_float32(module.eval()))
            try:
                exported = torch.export.export(plain, (example,), dynamic_shapes=({0: batch},))
            # As at the caller; what else went wrong is raised again.
            except Exception as error:
                widened = _for_any_number(plain, example) if _became_fixed(error) else None
                if widened is None:
                    raise
                exported = torch.export.export(widened, (example,), dynamic_shapes=({0: batch},))
            # Taking other operators apart is most of the time that an export takes.
            if all(str(node.target) in OPERATORS for node in exported.graph.nodes if node.op == "call_function"):
                return exported
            decomposed: torch.export.ExportedProgram = exported.run_decompositions(_unrolled())
            return decomposed
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _without_torchs_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # torch 2.13's own code uses what it deprecates; nothing a user of this could change.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        yield
