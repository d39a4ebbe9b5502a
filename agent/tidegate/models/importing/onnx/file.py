"""Reads an ONNX file: nodes, constants, the input and the outputs; whatever can't be taken is said at once."""

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tidegate.models.importing.lowering.reader import ExportError
from tidegate.models.importing.onnx.joining import JOINED, Part, parts_of, taking_apart
from tidegate.models.importing.onnx.node import Branch, OnnxNode
from tidegate.models.importing.onnx.operators import ON_SIZES, ON_TENSORS

if TYPE_CHECKING:
    from onnx import AttributeProto, ModelProto, NodeProto, ValueInfoProto

OLDEST_OPSET = 7
_FLOATS = {1: np.float32, 10: np.float16, 11: np.float64, 16: np.float32}
"""Types of inputs that graphs can start from, by number in ONNX's TensorProto.DataType."""
_WHOLE = {2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 12: np.uint32}
"""Those of whole numbers, such as words' places in a vocabulary."""
_TYPES: Mapping[int, npt.DTypeLike] = {**_FLOATS, **_WHOLE, 9: np.bool_}
"""Those that inputs may have which are fixed, or joined with others."""
_OWN_DOMAINS = {"", "ai.onnx"}
_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinear",
    "ConvInteger",
    "MatMulInteger",
)
_REASONS = {
    **dict.fromkeys(("Loop", "Scan"), "a loop has no form in a graph; export it for a fixed length, unrolled"),
    **dict.fromkeys(("ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "NonZero", "Unique"),
                    "chooses by value, which belongs behind the model; export the model without it"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FixedInput:
    """An input that is the same number everywhere, for all samples; open sizes are by name, or None."""

    sizes: tuple[int | str | None, ...]
    dtype: npt.DTypeLike
    number: float


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """A file's graph. `input_shape` is per sample, None for a size that is open; `input_sizes` has their names.

    `classes` are the names that the file's metadata has for them, as ultralytics or PP-OCR writes them, or none.
    `whole` inputs are whole numbers. `fixed` are the other inputs. With `parts` the input is joined of several.
    `sample_axes` names outputs that have their samples elsewhere than in front, as (time, samples, classes).
    """

    name: str
    opset: int
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, npt.NDArray[Any]]
    input: str
    input_shape: tuple[int | None, ...]
    one_sample: bool
    outputs: tuple[str, ...]
    classes: tuple[str, ...] = ()
    whole: bool = False
    input_sizes: tuple[int | str | None, ...] = ()
    fixed: Mapping[str, FixedInput] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    sample_axes: Mapping[str, int] = field(default_factory=dict)

    def fixed_values(self, input_shape: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """The fixed inputs for one sample of that shape: an open size is the input's of that name, else 1."""
        shape = input_shape if not self.parts else [size for part in self.parts for size in part.shape]
        sizes = dict(zip(self.input_sizes[1:], shape, strict=False))
        return {
            name: np.full([_size(size, sizes) for size in each.sizes], each.number, each.dtype)
            for name, each in self.fixed.items()
        }


def _size(size: int | str | None, known: Mapping[int | str | None, int]) -> int:
    return size if isinstance(size, int) else known.get(size, 1) if size is not None else 1


Shapes = Mapping[str, Sequence[int]]
_NONE: Mapping[str, Any] = MappingProxyType({})


def read_onnx(path: Path, fixed: Mapping[str, float] = _NONE, joined: Shapes = _NONE) -> OnnxGraph:
    """The graph of a file in float32, float16 or float64, of opset 7 or newer.

    `fixed` gives inputs a number; `joined` are the shapes, per sample, of several inputs that become one. Raises
    ExportError that names every node that can't be taken, with the reason and what to do instead, and
    ModuleNotFoundError where the `onnx` package is missing.
    """
    import onnx  # noqa: PLC0415 - builds of torch modules do without

    try:
        model = onnx.load(str(path))
        for each in model.graph.output:
            # The checker wants a shape where files may leave it out.
            each.type.tensor_type.shape.SetInParent()
        onnx.checker.check_model(model, full_check=False)
    # protobuf, onnx and the file system each have their own, and a file is anybody's data.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{path}: is no valid ONNX file: {reason}") from error
    return graph_of(model, str(path), fixed, joined)


def graph_of(
    model: "ModelProto", where: str, fixed: Mapping[str, float] = _NONE, joined: Shapes = _NONE
) -> OnnxGraph:
    """The graph of a model that `onnx.checker` has passed; raises as `read_onnx` does."""
    from onnx import inliner, numpy_helper  # noqa: PLC0415 - see read_onnx

    if model.functions:
        model = inliner.inline_local_functions(model)
    opset = next((each.version for each in model.opset_import if each.domain in _OWN_DOMAINS), 0)
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    given = [each for each in inputs if each.name not in fixed]
    reasons = [
        *_of_fixed(inputs, fixed),
        *(_of_joined(given, joined) if joined else _of_inputs(given)),
        *_of_opset(opset),
        *_of_nodes([*_all_nodes(model.graph.node)]),
    ]
    if reasons:
        raise ExportError("\n".join(f"{where}: {reason}" for reason in reasons))
    nodes = tuple(_node(node, index) for index, node in enumerate(model.graph.node))
    by_name = sorted(given, key=lambda each: each.name)
    parts = parts_of(joined, {each.name: _numpy_type(each) for each in given}) if joined else ()
    if parts:
        added, held = taking_apart(parts)
        nodes, constants = (*added, *nodes), {**constants, **held}
    samples = _sizes(given[0])[0]
    inner = [size for each in by_name for size in _sizes(each)[1:]]
    shape = (parts[-1].end,) if parts else tuple(size if isinstance(size, int) else None for size in inner)
    return OnnxGraph(
        model.graph.name or Path(where).stem,
        opset,
        nodes,
        constants,
        JOINED if parts else given[0].name,
        shape,
        samples == 1,
        tuple(each.name for each in model.graph.output),
        _names_in({each.key: each.value for each in model.metadata_props}),
        np.dtype(_numpy_type(given[0])).kind in "iub",
        (samples, *inner),
        {each.name: _fixed(each, fixed[each.name]) for each in inputs if each.name in fixed},
        parts,
        {each.name: _sample_axis(_sizes(each), samples) for each in model.graph.output},
    )


def _sample_axis(sizes: tuple[int | str | None, ...], samples: int | str | None) -> int:
    """Where an output has its samples: the only axis that is called as the input's first, or is 1 as that is."""
    places = [place for place, size in enumerate(sizes) if size == samples and size is not None]
    return places[0] if len(places) == 1 else 0


def axis_of_samples(shape: Sequence[int], samples: int, stated: int) -> int:
    """Where an answer to so many samples has them: where the file says, else the only axis of that size."""
    if stated < len(shape) and shape[stated] == samples:
        return stated
    places = [place for place, size in enumerate(shape) if size == samples]
    return places[0] if len(places) == 1 else stated


def _numpy_type(given: "ValueInfoProto") -> npt.DTypeLike:
    return _TYPES[given.type.tensor_type.elem_type]


def _sizes(given: "ValueInfoProto") -> tuple[int | str | None, ...]:
    """Of an input: numbers, names of open sizes, None for one without a name."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or None
        for dim in given.type.tensor_type.shape.dim
    )


def _fixed(given: "ValueInfoProto", number: float) -> FixedInput:
    return FixedInput(_sizes(given), _numpy_type(given), number)


def _names_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """As ultralytics writes them, or a letter a line as PP-OCR's readers have them."""
    if "names" in metadata:
        return _class_names(metadata["names"])
    letters = metadata.get("character", "").removesuffix("\n").split("\n")
    are_letters = all(len(each) == 1 for each in letters) and len(set(letters)) == len(letters)
    return tuple(letters) if are_letters else ()


def _class_names(text: str) -> tuple[str, ...]:
    """Of `{0: 'cat', 1: 'dog'}` or `['cat', 'dog']`; of what is neither nothing: anybody may have such a key."""
    try:
        given = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    if isinstance(given, dict) and sorted(map(str, given)) == sorted(map(str, range(len(given)))):
        given = [value for _, value in sorted(given.items(), key=lambda pair: int(pair[0]))]
    is_names = isinstance(given, list) and all(isinstance(name, str) and name.isprintable() for name in given)
    return tuple(given) if is_names and len(set(given)) == len(given) else ()


def _of_opset(opset: int) -> Iterator[str]:
    if opset < OLDEST_OPSET:
        yield f"has opset {opset}; allowed is {OLDEST_OPSET} or newer: export it again, or convert it"


def _of_fixed(given: "Sequence[ValueInfoProto]", fixed: Mapping[str, float]) -> Iterator[str]:
    known = {each.name: each for each in given}
    for name, number in fixed.items():
        if name not in known:
            yield f"has no input {name} to fix; it has {', '.join(known)}"
            continue
        kind = known[name].type.tensor_type.elem_type
        if kind not in _TYPES:
            yield f"input {name} has ONNX's type {kind}, which can't be fixed to {number:g}; allowed are numbers"
        elif not _holds(taken := np.dtype(_numpy_type(known[name])), number):
            yield f"input {name} is {taken}, which can't hold {number:g}; fix it to a number that {taken} holds"


def _holds(kind: np.dtype[Any], number: float) -> bool:
    """Whether an array of this kind can have that number: floats to their precision, all others exactly."""
    if not math.isfinite(number):
        return False
    if kind.kind == "f":
        return abs(number) <= float(np.finfo(kind).max)
    if kind.kind == "b":
        return number in {0, 1}
    return number == int(number) and np.iinfo(kind).min <= int(number) <= np.iinfo(kind).max


def _of_joined(given: "Sequence[ValueInfoProto]", joined: Shapes) -> Iterator[str]:
    if {each.name for each in given} != joined.keys():
        names = ", ".join(sorted(each.name for each in given))
        yield f"takes {names}, the data hold {', '.join(sorted(joined))}; name arrays as inputs, or fix some"
        return
    kinds = {name: _TYPES.get(each.type.tensor_type.elem_type) for name, each in ((e.name, e) for e in given)}
    strange = [name for name, kind in kinds.items() if kind is None]
    if strange:
        yield f"{', '.join(strange)}: can't be joined; allowed are floats, whole numbers and truth values"
        return
    whole = sorted(name for name, kind in kinds.items() if np.dtype(kind).kind in "iub")
    if 0 < len(whole) < len(kinds):
        yield (
            f"mixes whole numbers or truth values ({', '.join(whole)}) with floats "
            f"({', '.join(sorted(kinds.keys() - set(whole)))}), which one input can't hold; fix those of one kind"
        )
    for each in given:
        stated, found = _sizes(each)[1:], tuple(joined[each.name])
        if len(stated) != len(found) or any(
            isinstance(a, int) and a != b for a, b in zip(stated, found, strict=True)
        ):
            told = ", ".join("any" if not isinstance(size, int) else str(size) for size in stated)
            yield f"input {each.name} takes ({told}) per sample, the data hold {found}"
        if isinstance(_sizes(each)[0], int) and _sizes(each)[0] != 1:
            yield f"input {each.name} is for {_sizes(each)[0]} samples at a time; export it for 1 or an open size"


def _of_inputs(given: "Sequence[ValueInfoProto]") -> Iterator[str]:
    if len(given) != 1:
        names = ", ".join(each.name for each in given) or "none"
        others = " ".join(f"--fix {each.name}={'1' if 'mask' in each.name else '0'}" for each in given[1:])
        yield (
            f"has {len(given)} inputs ({names}); one is expected: say which number the others always are, such as "
            f"{others or 'none, where nothing is left to fix'}, or give data with an array of each name"
        )
        return
    (only,) = given
    tensor = only.type.tensor_type
    if tensor.elem_type not in {**_FLOATS, **_WHOLE}:
        yield (
            f"input {only.name} has ONNX's type {tensor.elem_type}; allowed are float, float16, double and whole "
            "numbers of up to 64 bits: texts and the like belong in front of the model"
        )
    if not tensor.HasField("shape") or not tensor.shape.dim:
        yield f"input {only.name} states no shape; state one with the samples in front"
    elif tensor.shape.dim[0].dim_value > 1:
        yield (
            f"input {only.name} is for {tensor.shape.dim[0].dim_value} samples at a time; export it for 1, or "
            "with an open first size (dynamic_axes)"
        )


def _all_nodes(nodes: "Sequence[NodeProto]") -> "Iterator[NodeProto]":
    """Those inside of branches too."""
    for node in nodes:
        yield node
        for each in node.attribute:
            if each.HasField("g"):
                yield from _all_nodes(each.g.node)


def _of_nodes(nodes: "Sequence[NodeProto]") -> Iterator[str]:
    """Why nodes can't be taken, those of one kind and reason in one line."""
    found: dict[tuple[str, str], list[str]] = {}
    for index, node in enumerate(nodes):
        reason = _reason(node)
        if reason is not None:
            found.setdefault((node.op_type, reason), []).append(node_name(node.name, node.op_type, index))
    for (operator, reason), names in found.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"node {', '.join(names[:3])}{more}: {operator}: {reason}"


def _reason(node: "NodeProto") -> str | None:
    if node.op_type.startswith(_QUANTIZED) or node.op_type.endswith("Quant"):
        return "the file is quantized already; give the model in float32: the build quantizes it by itself"
    if node.op_type in _REASONS:
        return _REASONS[node.op_type]
    if node.domain not in _OWN_DOMAINS:
        return f"is of the domain {node.domain}, not of ONNX's own; export without a runtime's optimizations"
    if node.op_type not in {*ON_TENSORS, *ON_SIZES, "Constant", "If"}:
        known = {*ON_TENSORS, *ON_SIZES, "If"}
        return f"is not among {', '.join(sorted(each for each in known if not each.startswith('tidegate.')))}"
    return None


def _node(node: "NodeProto", index: int) -> OnnxNode:
    name = node_name(node.name, node.op_type, index)
    attributes = {each.name: _attribute(each) for each in node.attribute}
    return OnnxNode(name, node.op_type, tuple(node.input), tuple(node.output), attributes)


def _attribute(given: "AttributeProto") -> Any:
    from onnx import GraphProto, TensorProto, helper, numpy_helper  # noqa: PLC0415 - see read_onnx

    value = helper.get_attribute_value(given)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return [each.decode() for each in value]
    if isinstance(value, GraphProto):
        constants = {each.name: numpy_helper.to_array(each) for each in value.initializer}
        nodes = tuple(_node(node, index) for index, node in enumerate(value.node))
        return Branch(nodes, constants, tuple(each.name for each in value.output))
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def node_name(name: str, operator: str, index: int) -> str:
    """What a node is called, also where the file has no name for it."""
    return name or f"{operator}_{index}"
