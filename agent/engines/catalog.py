"""Engines by name; each is imported only when it is asked for, because each brings a runtime of its own."""

from agent.engines.engine import Engine
from agent.models.network import Network


class UnknownEngine(Exception):  # noqa: N818 - reads as what it is at the call site
    """No engine of that name, or its runtime is not installed; the message says what to do."""


def open_engine(name: str, network: Network) -> Engine:
    """The engine of that name over a network. Raises UnknownEngine."""
    if name != "eager":
        raise UnknownEngine(f"engine {name!r}: there is none; allowed is eager")
    try:
        from agent.engines.eager import EagerEngine  # noqa: PLC0415 - torch is an extra, and slow to import
    except ModuleNotFoundError as error:
        raise UnknownEngine(f"engine {name}: {error.name} is missing; install tidegate[torch]") from error
    return EagerEngine(network)
