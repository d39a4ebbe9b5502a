"""Writes ONNX models byte by byte, so that a device needs ONNX Runtime and nothing to build models with.

Field numbers are those of onnx/onnx.proto3 (IR version 9); the encoding is protobuf's wire format.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

IR_VERSION = 9
OPSET = 20


class ElementType(IntEnum):
    """TensorProto.DataType, as far as it is used."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    INT32 = 6
    INT64 = 7
    BOOL = 9


_OF_DTYPE = {
    "float32": ElementType.FLOAT,
    "uint8": ElementType.UINT8,
    "int8": ElementType.INT8,
    "int32": ElementType.INT32,
    "int64": ElementType.INT64,
    "bool": ElementType.BOOL,
}


@dataclass(frozen=True, slots=True)
class FileSlice:
    """Where in a file beside the model a tensor's bytes lie; ONNX Runtime maps them instead of copying."""

    file: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class TensorValue:
    """A named constant: its array, or a float32 tensor in a file."""

    name: str
    shape: tuple[int, ...]
    content: npt.NDArray[np.generic] | FileSlice


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """A graph's input or output; a string in `shape` names a size that varies, None leaves the shape open."""

    name: str
    type: ElementType
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One operator call."""

    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, "Attribute"] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """Nodes in order with what they take and give; as a branch of an If it may read the outer graph's values."""

    name: str
    nodes: Sequence[OnnxNode]
    inputs: Sequence[ValueInfo]
    outputs: Sequence[ValueInfo]
    constants: Sequence[TensorValue] = ()


Attribute = int | float | str | bytes | Sequence[int] | OnnxGraph
"""Bytes are a whole AttributeProto, as it was read."""


def model_bytes(graph: OnnxGraph) -> bytes:
    """The graph as a ModelProto."""
    own = (_bytes(8, _text(1, domain) + _number(2, 1)) for domain in sorted(_domains(graph)))
    opsets = b"".join((_bytes(8, _number(2, OPSET)), *own))
    return _number(1, IR_VERSION) + _text(2, "tidegate") + _bytes(7, _graph(graph)) + opsets


def _domains(graph: OnnxGraph) -> set[str]:
    """Of operators that aren't ONNX's own, in the graph and its branches."""
    found = {node.domain for node in graph.nodes if node.domain}
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, OnnxGraph):
                found |= _domains(value)
    return found


def _graph(graph: OnnxGraph) -> bytes:
    return b"".join(
        (
            *(_bytes(1, _node(node)) for node in graph.nodes),
            _text(2, graph.name),
            *(_bytes(5, _tensor(constant)) for constant in graph.constants),
            *(_bytes(11, _value_info(value)) for value in graph.inputs),
            *(_bytes(12, _value_info(value)) for value in graph.outputs),
        )
    )


def _node(node: OnnxNode) -> bytes:
    return b"".join(
        (
            *(_text(1, name) for name in node.inputs),
            *(_text(2, name) for name in node.outputs),
            _text(3, node.outputs[0]),
            _text(4, node.type),
            *(_bytes(5, _attribute(name, value)) for name, value in node.attributes.items()),
            _text(7, node.domain),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case bytes():
            return value
        case int():
            content, kind = _number(3, value), 2
        case float():
            content, kind = _tag(2, 5) + np.float32(value).tobytes(), 1
        case str():
            content, kind = _text(4, value), 3
        case OnnxGraph():
            content, kind = _bytes(6, _graph(value)), 5
        case _:
            content, kind = b"".join(_number(8, item) for item in value), 7
    return _text(1, name) + content + _number(20, kind)


def _tensor(tensor: TensorValue) -> bytes:
    shape = b"".join(_number(1, size) for size in tensor.shape)
    name = _text(8, tensor.name)
    if isinstance(tensor.content, FileSlice):
        place = {
            "location": tensor.content.file,
            "offset": str(tensor.content.offset),
            "length": str(tensor.content.length),
        }
        entries = (_bytes(13, _text(1, key) + _text(2, value)) for key, value in place.items())
        return b"".join((shape, _number(2, ElementType.FLOAT), name, *entries, _number(14, 1)))
    array = np.ascontiguousarray(tensor.content)
    return shape + _number(2, _OF_DTYPE[array.dtype.name]) + name + _bytes(9, array.tobytes())


def _value_info(value: ValueInfo) -> bytes:
    kind = _number(1, value.type)
    if value.shape is not None:
        kind += _bytes(2, b"".join(_bytes(1, _dimension(size)) for size in value.shape))
    return _text(1, value.name) + _bytes(2, _bytes(1, kind))


def _dimension(size: int | str) -> bytes:
    return _text(2, size) if isinstance(size, str) else _number(1, size)


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _number(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def constants_of(arrays: Mapping[str, npt.NDArray[np.generic]]) -> Iterable[TensorValue]:
    """Arrays as constants."""
    return (TensorValue(name, array.shape, array) for name, array in arrays.items())
