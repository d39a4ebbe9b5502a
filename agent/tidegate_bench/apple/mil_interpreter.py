"""A saved Core ML package computed with numpy: coremltools' own value inference, and by hand what has none.

It proves what is in the package, not Apple's kernels.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.converters.mil.mil.types import nptype_from_builtin
from coremltools.models.utils import load_spec

Named = Mapping[str, Any]
Values = Any
"""Arrays; coremltools has no types that would say of what."""


class InterpretedPackage:
    """Its functions by name; each is what the session calls, with fp32 outputs."""

    def __init__(self, path: Path) -> None:
        weights = str(path / "Data/com.apple.CoreML/weights")
        self._program = load(load_spec(str(path)), ct.target.iOS18, weights)
        self._constants: dict[int, Values] = {}

    def opened(self, name: str) -> "InterpretedFunction":
        return InterpretedFunction(self, self._program.functions[name])

    def operators(self) -> Mapping[str, list[str]]:
        """Names of the operators of each function, in order."""
        return {
            name: [each.op_type for each in function.operations]
            for name, function in self._program.functions.items()
        }

    def constant(self, operation: Any) -> Values:
        """A compressed weight, widened once."""
        if id(operation) not in self._constants:
            self._constants[id(operation)] = operation.materialized_val_inference()
        return self._constants[id(operation)]


class InterpretedFunction:
    def __init__(self, package: InterpretedPackage, function: Any) -> None:
        self._package = package
        self._function = function

    def predict(self, data: Named) -> Named:
        for name, variable in self._function.inputs.items():
            given = data[name]
            if given.dtype != nptype_from_builtin(variable.dtype) or given.shape != tuple(variable.shape):
                raise ValueError(
                    f"{name}: {given.dtype} {given.shape}; it wants {variable.dtype} {variable.shape}"
                )
            _set(variable, given)
        for operation in self._function.operations:
            self._compute(operation)
        return {output.name: np.asarray(output.val, np.float32) for output in self._function.outputs}

    def _compute(self, operation: Any) -> None:
        kind = operation.op_type
        if kind == "const":
            if isinstance(operation.outputs[0].val, np.bool_):
                # NumPy's own bool is no `keepdims`.
                operation.outputs[0]._sym_val.val = bool(operation.outputs[0].val)  # noqa: SLF001 - as in _set
            return
        if kind.startswith("constexpr"):
            found = self._package.constant(operation)
        elif kind in _BY_HAND:
            found = _BY_HAND[kind](
                {key: each.val for key, each in operation.inputs.items() if hasattr(each, "val")}
            )
        else:
            found = operation.value_inference()
        (output,) = operation.outputs
        _set(output, np.asarray(found).astype(nptype_from_builtin(output.dtype)))


def _set(variable: Any, array: Values) -> None:
    value = variable.sym_type()
    value.val = array
    variable._sym_val = value  # noqa: SLF001 - where coremltools' value inference reads it


def _windows(x: Values, kernel: Any, stride: Any, dilation: Any) -> Values:
    spans = [(size - 1) * gap + 1 for size, gap in zip(kernel, dilation, strict=True)]
    found = np.lib.stride_tricks.sliding_window_view(x, spans, (2, 3))
    return found[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _padded(v: Named, fill: float) -> Values:
    top, bottom, left, right = v["pad"]
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(v["x"].astype(np.float32), sides, constant_values=fill)


def _conv(v: Named) -> Values:
    w, groups = v["weight"].astype(np.float32), int(v["groups"])
    x = _windows(_padded(v, 0), w.shape[2:], list(v["strides"]), list(v["dilations"]))
    parts = zip(np.split(x, groups, 1), np.split(w, groups), strict=True)
    out = np.concatenate([np.tensordot(a, b, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for a, b in parts], 1)
    bias = v.get("bias")
    return out if bias is None else out + bias.astype(np.float32).reshape(-1, 1, 1)


def _pool(reduce: Callable[..., Values], fill: float) -> Callable[[Named], Values]:
    def pooled(v: Named) -> Values:
        kernel, stride = list(v["kernel_sizes"]), list(v["strides"])
        out = reduce(_windows(_padded(v, fill), kernel, stride, [1, 1]), (4, 5))
        if v.get("exclude_padding_from_average"):
            ones = _padded({**v, "x": np.ones_like(v["x"])}, 0)
            out = out / _windows(ones, kernel, stride, [1, 1]).mean((4, 5))
        return out

    return pooled


def _matmul(v: Named) -> Values:
    x, y = v["x"].astype(np.float32), v["y"].astype(np.float32)
    return (x.swapaxes(-1, -2) if v.get("transpose_x") else x) @ (
        y.swapaxes(-1, -2) if v.get("transpose_y") else y
    )


def _linear(v: Named) -> Values:
    bias = v.get("bias")
    return v["x"].astype(np.float32) @ v["weight"].astype(np.float32).T + (
        0 if bias is None else bias.astype(np.float32)
    )


def _layer_norm(v: Named) -> Values:
    x, axes = v["x"].astype(np.float32), tuple(v["axes"])
    off = x - x.mean(axes, keepdims=True)
    return off / np.sqrt((off * off).mean(axes, keepdims=True) + np.float32(v["epsilon"]))


def _quantize(v: Named) -> Values:
    codes = np.rint(v["input"].astype(np.float32) / np.float32(v["scale"])) + float(v["zero_point"])
    return np.clip(codes, 0, 255)


def _dequantize(v: Named) -> Values:
    return (v["input"].astype(np.float32) - float(v["zero_point"])) * np.float32(v["scale"])


def _silu(v: Named) -> Values:
    x = v["x"].astype(np.float32)
    return x / (1 + np.exp(-x))


def _pad(v: Named) -> Values:
    return np.pad(v["x"], np.reshape(v["pad"], (-1, 2)), constant_values=v["constant_val"])


_BY_HAND: Mapping[str, Callable[[Named], Values]] = {
    "conv": _conv,
    "max_pool": _pool(np.max, -np.inf),
    "avg_pool": _pool(np.mean, 0),
    "silu": _silu,
    "quantize": _quantize,
    "dequantize": _dequantize,
    "linear": _linear,
    "matmul": _matmul,
    "layer_norm": _layer_norm,
    "select": lambda v: np.where(v["cond"], v["a"], v["b"]),
    "pad": _pad,
}
