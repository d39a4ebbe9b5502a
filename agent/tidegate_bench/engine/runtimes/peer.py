"""What a peer is: one runtime at one precision, with what it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tidegate.engines.engine import Array
from tidegate.models.network import Network

Run = Callable[[Array], Array]
"""(1, *input shape) to (1, *output shape), float32."""


def _any_network(_network: Network) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Peer:
    """Named `RUNTIME PRECISION`. `convert` writes what `open` needs into a kept network's directory, once.

    Packages are distributions: `packages` are loaded while it runs, `converts_with` only where it is converted.
    """

    name: str
    packages: tuple[str, ...]
    open: Callable[[Path, int], Run]
    """From a kept network's directory and a number of threads."""
    convert: Callable[[Path], None] | None = None
    converts_with: tuple[str, ...] = ()
    suits: Callable[[Network], bool] = _any_network
    """Networks for which its documentation recommends this form."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed, out of all that it needs."""
        return tuple(name for name in (*self.packages, *self.converts_with) if _version(name) is None)

    @property
    def versions(self) -> str:
        """What is installed of its packages, each with its version."""
        found = ((name, _version(name)) for name in (*self.packages, *self.converts_with))
        return ", ".join(f"{name} {number}" for name, number in found if number is not None)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
