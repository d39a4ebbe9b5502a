"""ONNX Runtime: what we use of it, and the only place that imports it."""

from types import ModuleType

from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

__all__ = ["GraphOptimizationLevel", "InferenceSession", "SessionOptions", "quantization"]


def quantization() -> ModuleType:
    """Its quantizer. Raises ModuleNotFoundError where the `onnx` package is missing, which it needs."""
    import onnxruntime.quantization.shape_inference  # noqa: PLC0415 - a benchmark alone pays for it

    found: ModuleType = onnxruntime.quantization
    return found
