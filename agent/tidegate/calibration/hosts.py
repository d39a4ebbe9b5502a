"""The engines that a ladder is calibrated for, each able to take any network: a whole one, or a piece of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tidegate.engines import eager
from tidegate.engines.auto import NAME as AUTO
from tidegate.engines.catalog import ENGINES, installed_engines
from tidegate.engines.device import installed_version
from tidegate.engines.eager import EagerEngine
from tidegate.engines.engine import Engine
from tidegate.engines.runtimes import RUNTIMES
from tidegate.extras import missing
from tidegate.models.network import Network

Opener = Callable[[Network], Engine]

NATIVE = ("onnx",)
"""Those that compute in 8 bits."""


class HostError(ValueError):
    """An engine that a ladder can't be calibrated for here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Host:
    """An engine by its name, with its runtime's version, and how to open it over a network."""

    name: str
    runtime: str
    over: Opener


def hosts_for(names: Sequence[str]) -> tuple[Host, ...]:
    """The engines named; AUTO stands for all that compute in 8 bits here, or for eager where none does.

    Raises HostError.
    """
    unknown = set(names) - set(ENGINES)
    if unknown:
        raise HostError(f"--engine {min(unknown)}: there is none; allowed are {', '.join(ENGINES)}")
    wanted = dict.fromkeys(name for given in names for name in (NATIVE if given == AUTO else (given,)))
    hosts = {}
    for name in wanted:
        try:
            hosts[name] = _host(name)
        except HostError:
            if name in names:
                raise
    return tuple(hosts.values()) or (_host(eager.NAME),)


def _host(name: str) -> Host:
    if name not in installed_engines():
        raise HostError(f"--engine {name}: {missing(RUNTIMES[name])}")
    runtime = f"{RUNTIMES[name]} {installed_version(RUNTIMES[name])}"
    return Host(name, runtime, _OPENERS[name]())


def _eager() -> Opener:
    return EagerEngine


def _onnx() -> Opener:
    from tidegate.engines.onnx.engine import OnnxEngine  # noqa: PLC0415 - an extra

    return lambda network: OnnxEngine(network, _not_asked)


def _not_asked() -> NoReturn:
    raise AssertionError("a candidate brings the ranges of its 8-bit activations")


_OPENERS: Mapping[str, Callable[[], Opener]] = {"onnx": _onnx, eager.NAME: _eager}
