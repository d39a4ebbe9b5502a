"""Where a network runs: a runtime, a compute unit, and the versions that decide what the two compute."""

from dataclasses import dataclass

from tidegate.engines.runtime.apple_silicon import has_core_ai, is_apple_silicon
from tidegate.engines.runtime.device import system_build
from tidegate.engines.runtime.installed import installed_version
from tidegate.engines.runtime.onnx_providers import PROVIDERS
from tidegate.engines.runtime.runtimes import runtime_of

CPU = "cpu"
GPU = "gpu"
NEURAL_ENGINE = "neural engine"


@dataclass(frozen=True, slots=True)
class Placement:
    """What a certificate of agreement holds for; with another version of any of it, the count is made again."""

    engine: str
    unit: str
    runtime: str
    system_build: str

    @property
    def in_words(self) -> str:
        """`mlx on gpu, mlx 0.32.4, macOS 27A100`"""
        return f"{self.engine} on {self.unit}, {self.runtime}, {self.system_build}"


def placement_of(engine: str) -> Placement:
    """The placement of an engine on this device now. Raises KeyError for a name that is no engine."""
    package = runtime_of(engine)
    return Placement(engine, unit_of(engine), f"{package} {installed_version(package)}", system_build())


def unit_of(engine: str) -> str:
    """The compute unit that an engine uses on this device."""
    units = {
        "mlx": GPU if is_apple_silicon() else CPU,
        "coreml": NEURAL_ENGINE,
        "coreml-gpu": GPU,
        "coreai": NEURAL_ENGINE if has_core_ai() else CPU,
        "coreai-gpu": GPU,
        "mps": GPU,
        "mps-fp16": GPU,
        **{name: provider.unit for name, provider in PROVIDERS.items()},
    }
    return units.get(engine, CPU)
