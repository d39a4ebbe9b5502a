"""Where a network runs: a runtime, a compute unit, and the versions that decide what the two compute."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tidegate.engines.runtime.apple_silicon import has_core_ai, is_apple_silicon
from tidegate.engines.runtime.installed import installed_version
from tidegate.engines.runtime.onnx_providers import PROVIDERS
from tidegate.engines.runtime.runtimes import FORMS, RUNTIMES, runtime_of
from tidegate.engines.runtime.system import system_build

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


def engines_in(name: str) -> tuple[str, ...]:
    """The engines that an engine calls itself by: `auto` names those that it has chosen."""
    return tuple(each for each in re.findall(r"[a-z0-9-]+", name) if each in (*RUNTIMES, *FORMS))


def placements_in_words(engines: Iterable[str]) -> str:
    """Of each engine, here and now; what another version calls an engine is left out."""
    known = (name for name in engines if name in {*RUNTIMES, *FORMS})
    return "; ".join(placement_of(name).in_words for name in known) or "nothing that this version knows"


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
