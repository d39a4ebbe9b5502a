"""The engines there are, and the package that each needs installed. Loads none of them."""

from collections.abc import Mapping

RUNTIMES: Mapping[str, str] = {"onnx": "onnxruntime", "litert": "ai-edge-litert", "eager": "torch"}
