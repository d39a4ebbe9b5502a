"""Engines by name; each is imported only when it is asked for, because each brings a runtime of its own."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tidegate.engines.engine import Engine
from tidegate.engines.runtime.auto import NAME as AUTO
from tidegate.engines.runtime.auto import AutoEngine, make_choice
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.device import installed_version
from tidegate.engines.runtime.memory import keep_freed
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.engines.runtime.runtimes import RUNTIMES
from tidegate.engines.runtime.thread_spin import wait_briefly
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.extras import missing
from tidegate.models.bundle import Bundle

ENGINES = (AUTO, *RUNTIMES)


class UnknownEngine(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """No engine of that name, or its runtime is not installed; the message says what to do."""

    exit_code = EX_UNAVAILABLE


def open_engine(name: str, bundle: Bundle, cache_dir: Path | None = None, spin: bool = False) -> Engine:
    """The engine of that name over a bundle. What it measures or makes on the device is kept in `cache_dir`.

    With `spin` the threads of an answer wait for each other awake: for devices that are asked without a pause.

    Raises UnknownEngine, UnsupportedPoint when the engine can't run this bundle here, BundleError for a bundle
    whose segments don't run.
    """
    cache = Cache(cache_dir)
    cache.evict()
    if name == AUTO:
        choice = make_choice(bundle, installed_engines(), cache, spin)
        return AutoEngine(choice, partial(open_engine, bundle=bundle, cache_dir=cache_dir, spin=spin))
    check_installed(name)
    return _OPENERS[name](bundle, cache, spin)


def check_installed(name: str) -> None:
    """Raises UnknownEngine when there is no such engine, or its runtime (for `auto` every one) is missing."""
    if name not in ENGINES:
        raise UnknownEngine(f"engine {name!r}: there is none; allowed are {', '.join(ENGINES)}")
    if name == AUTO:
        installed_engines()
    elif installed_version(RUNTIMES[name]) is None:
        raise UnknownEngine(f"engine {name}: {missing(RUNTIMES[name])}")


def installed_engines() -> tuple[str, ...]:
    """Names of the engines whose runtime is installed. Raises UnknownEngine when there is none."""
    found = tuple(name for name, runtime in RUNTIMES.items() if installed_version(runtime) is not None)
    if not found:
        raise UnknownEngine(
            f"no engine: neither onnxruntime nor torch is installed; the smaller: {missing('onnxruntime')}"
        )
    return found


def _open_eager(bundle: Bundle, _cache: Cache, spin: bool) -> Engine:
    keep_freed()
    if not spin:
        wait_briefly()
    from tidegate.engines.reference.eager import EagerEngine  # noqa: PLC0415 - torch is an extra, and slow to import

    return EagerEngine(bundle)


def _open_onnx(bundle: Bundle, cache: Cache, spin: bool) -> Engine:
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - ONNX Runtime is an extra

    return OnnxEngine(bundle, NetworkCache(cache, bundle.sha256), spin)


def _open_litert(bundle: Bundle, _cache: Cache, _spin: bool) -> Engine:
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415 - LiteRT is an extra

    return LiteRtEngine(bundle)


_OPENERS: Mapping[str, Callable[[Bundle, Cache, bool], Engine]] = {
    "onnx": _open_onnx,
    "litert": _open_litert,
    "eager": _open_eager,
}
