"""LiteRT models as bytes, by the schema classes that the runtime ships; no TensorFlow.

The format is `schema.fbs` of LiteRT, file identifier TFL3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from tidegate.engines.plan.quantization import QuantParams

Shape = tuple[int, ...]

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_ALIGNMENT = 16
"""Of a buffer, in bytes: `force_align` in the schema, which the Python writer leaves out."""
_OLD_CODES_END = 127
"""What `deprecated_builtin_code` says where the code has no place in its 8 bits."""
SIGNED = 128
"""From uint8 codes to int8 ones: the same grid, 128 lower."""

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc] # generated, without types
    """A buffer that begins at a multiple of 16 bytes, as kernels read it in place."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the generated name
        data = self.data
        if data is None:
            schema.BufferStart(builder)
            return int(schema.BufferEnd(builder))
        builder.StartVector(1, len(data), _ALIGNMENT)
        builder.head = builder.head - len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


@dataclass(slots=True)
class ModelBuilder:
    """Collects one graph: tensors by number, operators in the order in which they run."""

    name: str
    _tensors: list[Any] = field(default_factory=list)
    _buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    _operators: list[Any] = field(default_factory=list)
    _codes: dict[int, int] = field(default_factory=dict)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.float32,
        params: QuantParams | None = None,
    ) -> int:
        """A tensor that an operator computes or that comes in; gives its number. With `params` int8 codes."""
        kind = np.dtype(np.int8) if params is not None else np.dtype(dtype)
        quantization = None if params is None else _quantization([params.scale], [params.zero_point - SIGNED], 0)
        return self._add(name, shape, kind, 0, quantization)

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> int:
        """A constant; gives its number."""
        return self._add(name, value.shape, value.dtype, self._buffer(value), None)

    def weight(self, name: str, codes: npt.NDArray[np.generic], scales: npt.NDArray[np.float32], axis: int) -> int:
        """Codes around zero with a scale per slice along `axis`; gives the number."""
        quantization = _quantization(scales, np.zeros(len(scales), np.int64), axis)
        return self._add(name, codes.shape, codes.dtype, self._buffer(codes), quantization)

    def fixed(self, name: str, codes: npt.NDArray[np.int8], params: QuantParams) -> int:
        """A constant as codes of one scale; gives its number."""
        quantization = _quantization([params.scale], [params.zero_point - SIGNED], 0)
        return self._add(name, codes.shape, codes.dtype, self._buffer(codes), quantization)

    def emit(self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None) -> None:
        """Add an operator by its name in the schema's BuiltinOperator; `options` is of the schema's classes."""
        code = getattr(schema.BuiltinOperator, kind)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        self._operators.append(operator)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The model."""
        graph = schema.SubGraphT()
        graph.name = self.name
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.subgraphs = [graph]
        model.buffers = self._buffers
        model.operatorCodes = [_operator_code(code) for code in self._codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _add(self, name: str, shape: Sequence[int], dtype: npt.DTypeLike, buffer: int, quantization: Any) -> int:
        tensor = schema.TensorT()
        tensor.name = name
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = buffer
        tensor.quantization = quantization
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _buffer(self, value: npt.NDArray[np.generic]) -> int:
        buffer = _AlignedBuffer()
        buffer.data = np.ascontiguousarray(value).tobytes()
        self._buffers.append(buffer)
        return len(self._buffers) - 1


@dataclass(slots=True)
class EmptyModelBuilder(ModelBuilder):
    """Collects a graph without its numbers: enough to find out whether it can be built."""

    def _buffer(self, value: npt.NDArray[np.generic]) -> int:
        del value
        return 0


def _quantization(
    scales: Sequence[float] | npt.NDArray[np.float32],
    zero_points: Sequence[int] | npt.NDArray[np.int64],
    axis: int,
) -> Any:
    params = schema.QuantizationParametersT()
    params.scale = np.asarray(scales, np.float32)
    params.zeroPoint = np.asarray(zero_points, np.int64)
    params.quantizedDimension = axis
    return params


def _operator_code(code: int) -> Any:
    found = schema.OperatorCodeT()
    found.deprecatedBuiltinCode = min(code, _OLD_CODES_END)
    found.builtinCode = code
    found.version = 1
    return found
