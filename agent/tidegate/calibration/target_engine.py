"""The engines that a ladder is calibrated for, each able to take any network: a whole one, or a piece of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.engines.engine import Engine
from tidegate.engines.reference import eager
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.installed import installed_engines, installed_version
from tidegate.engines.runtime.runtimes import AUTO, RUNTIMES
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.extras import lacking
from tidegate.models.network import Network

Opener = Callable[[Network], Engine]

NATIVE = ("onnx", "litert")
"""Those that compute in 8 bits. Unless engines are named a ladder is made for the one that is faster on the
network: a certificate's delta is split over engines."""


class TargetEngineError(TidegateError, ValueError):
    """An engine that a ladder can't be calibrated for here; the message says what to do."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class TargetEngine:
    """An engine by its name, with its runtime's version, and how to open it over a network."""

    name: str
    runtime: str
    over: Opener

    @property
    def identity(self) -> str:
        """Engine and version of its runtime: what was counted or measured on another version does not hold."""
        return f"{self.name} {self.runtime}"


def target_engines(names: Sequence[str]) -> tuple[TargetEngine, ...]:
    """The engines named; AUTO stands for all that compute in 8 bits here, or for eager where none does.

    Raises TargetEngineError.
    """
    allowed = (AUTO, *_OPENERS)
    unknown = set(names) - set(allowed)
    if unknown:
        raise TargetEngineError(f"--engine {min(unknown)}: there is none; allowed are {', '.join(allowed)}")
    wanted = dict.fromkeys(name for given in names for name in (NATIVE if given == AUTO else (given,)))
    targets = {}
    for name in wanted:
        try:
            targets[name] = _target_engine(name)
        except TargetEngineError:
            if name in names:
                raise
    return tuple(targets.values()) or (_target_engine(eager.NAME),)


def _target_engine(name: str) -> TargetEngine:
    if name not in installed_engines():
        raise TargetEngineError(f"--engine {name}: {lacking(RUNTIMES[name])}")
    runtime = f"{RUNTIMES[name]} {installed_version(RUNTIMES[name])}"
    return TargetEngine(name, runtime, _OPENERS[name]())


def _eager() -> Opener:
    return EagerEngine


def _onnx() -> Opener:
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - an extra

    return OnnxEngine


def _litert() -> Opener:
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415 - an extra

    return LiteRtEngine


_OPENERS: Mapping[str, Callable[[], Opener]] = {"onnx": _onnx, "litert": _litert, eager.NAME: _eager}
