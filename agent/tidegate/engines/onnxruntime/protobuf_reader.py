"""Reads ONNX models as ONNX Runtime writes them, into what `protobuf` writes. Branches are left as they are."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tidegate.engines.onnxruntime.protobuf import Attribute, ElementType, FileSlice, OnnxNode, TensorValue

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_INT = 2
_DTYPES = {
    ElementType.FLOAT: np.float32,
    ElementType.UINT8: np.uint8,
    ElementType.INT8: np.int8,
    ElementType.INT32: np.int32,
    ElementType.INT64: np.int64,
    ElementType.BOOL: np.bool_,
}


class UnreadableModel(ValueError):  # noqa: N818 - reads as what it is at the call site
    """Bytes that are no such model, or hold something that this reader doesn't know."""


@dataclass(frozen=True, slots=True)
class ReadGraph:
    """A graph's nodes in order, and its constants."""

    nodes: tuple[OnnxNode, ...]
    constants: tuple[TensorValue, ...]


def read_graph(model: bytes) -> ReadGraph:
    """The graph of a ModelProto. Raises UnreadableModel."""
    try:
        graph = _only(model, 7)
        return ReadGraph(
            tuple(_node(node) for node in _all(graph, 1)),
            tuple(_tensor(tensor) for tensor in _all(graph, 5)),
        )
    except (IndexError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise UnreadableModel(f"no model as ONNX Runtime writes it: {error}") from error


def _node(node: bytes) -> OnnxNode:
    attributes = (_attribute(each) for each in _all(node, 5))
    return OnnxNode(
        _text(node, 4),
        tuple(name.decode() for name in _all(node, 1)),
        tuple(name.decode() for name in _all(node, 2)),
        dict(attributes),
        _text(node, 7),
    )


def _attribute(attribute: bytes) -> tuple[str, Attribute]:
    """Its name with its value where that is a whole number, else with all of it."""
    return _text(attribute, 1), (_number(attribute, 3) if _number(attribute, 20) == _INT else attribute)


def _tensor(tensor: bytes) -> TensorValue:
    name, shape = _text(tensor, 8), tuple(_numbers(tensor, 1))
    kind = ElementType(_number(tensor, 2))
    if _number(tensor, 14):
        if kind is not ElementType.FLOAT:
            raise UnreadableModel(f"constant {name} of type {kind.name} lies in a file")
        place = {_text(entry, 1): _text(entry, 2) for entry in _all(tensor, 13)}
        slice_ = FileSlice(place["location"], int(place.get("offset", 0)), int(place["length"]))
        return TensorValue(name, shape, slice_)
    return TensorValue(name, shape, np.frombuffer(_only(tensor, 9), _DTYPES[kind]).reshape(shape))


def _only(message: bytes, number: int) -> bytes:
    """The one field of that number. Raises UnreadableModel."""
    found = list(_all(message, number))
    if len(found) != 1:
        raise UnreadableModel(f"field {number} is there {len(found)} times")
    return found[0]


def _text(message: bytes, number: int) -> str:
    return b"".join(_all(message, number)).decode()


def _number(message: bytes, number: int) -> int:
    return next(_numbers(message, number), 0)


def _numbers(message: bytes, number: int) -> Iterator[int]:
    for found, value in _fields(message):
        if found != number:
            continue
        if isinstance(value, int):
            yield value
            continue
        at = 0
        while at < len(value):
            each, at = _varint(value, at)
            yield each


def _all(message: bytes, number: int) -> Iterator[bytes]:
    return (value for found, value in _fields(message) if found == number and isinstance(value, bytes))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field, those of fixed size as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = _varint(message, at)
        elif wire_type in _FIXED:
            length = _FIXED[wire_type]
        else:
            raise UnreadableModel(f"wire type {wire_type} at byte {at}")
        if at + length > len(message):
            raise UnreadableModel(f"ends {at + length - len(message)} bytes too early")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A whole number and where it ends; those of 64 bits are signed."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    return (value - 2**64 if value >> 63 else value), at
