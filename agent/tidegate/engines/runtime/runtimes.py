"""The engines there are, and the package that each needs installed. Loads none of them."""

from collections.abc import Mapping

from tidegate.engines.runtime.onnx_providers import PROVIDERS

RUNTIMES: Mapping[str, str] = {
    "onnx": "onnxruntime",
    "litert": "ai-edge-litert",
    "mlx": "mlx",
    "coreml": "coremltools",
    "coreai": "coreai-core",
    "eager": "torch",
}
AUTO = "auto"
"""The name under which the fastest of them is chosen on the device."""
FORMS: Mapping[str, str] = {
    "coreml-gpu": "coreml",
    "coreml-cpu": "coreml",
    "coreai-gpu": "coreai",
    "mps": "eager",
    "mps-fp16": "eager",
    **dict.fromkeys(PROVIDERS, "onnx"),
}
"""Engines on another compute unit than their usual one; each is named, tried and believed by itself."""
ENGINES = (AUTO, *RUNTIMES, *FORMS)


def runtime_of(engine: str) -> str:
    """The package that an engine needs, whatever its unit. Raises KeyError for a name that is no engine."""
    return RUNTIMES[FORMS.get(engine, engine)]
