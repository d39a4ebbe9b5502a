"""Engines by name; each is imported only when it is asked for, because each brings a runtime of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.engines.runtime.auto import AutoEngine, known_choice, make_choice, untried_choice, untried_engine
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.dropped import Dropped
from tidegate.engines.runtime.installed import UnknownEngine, check_installed, installed_engines
from tidegate.engines.runtime.memory import keep_freed
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.engines.runtime.onnx_providers import PROVIDERS
from tidegate.engines.runtime.placement import unit_of
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.engines.runtime.thread_spin import wait_briefly
from tidegate.models.bundle import Bundle


@dataclass(frozen=True, slots=True)
class _Opening:
    """What an engine may need to know to be opened."""

    bundle: Bundle
    cache: Cache
    spin: bool
    memory_limit_bytes: int | None


def open_engine(
    name: str,
    bundle: Bundle,
    cache_dir: Path | None = None,
    spin: bool = False,
    memory_limit_bytes: int | None = None,
) -> Engine:
    """The engine of that name over a bundle. What it measures or makes on the device is kept in `cache_dir`.

    With `spin` the threads of an answer wait for each other awake: for devices that are asked without a pause.
    `memory_limit_bytes` is what this process may hold, for runtimes that keep what they free.

    Raises UnknownEngine, UnsupportedPoint when the engine can't run this bundle here, BundleError for a bundle
    whose segments don't run.
    """
    cache = Cache(cache_dir)
    cache.evict()
    if name == AUTO:
        dropped = Dropped(cache)
        engines = _believed(dropped)
        choice = make_choice(bundle, engines, cache, spin)
        return AutoEngine(choice, _opener(bundle, cache_dir, spin, memory_limit_bytes), choice.able, dropped)
    check_installed(name)
    return _OPENERS[name](_Opening(bundle, cache, spin, memory_limit_bytes))


def open_at_once(
    name: str,
    bundle: Bundle,
    cache_dir: Path | None = None,
    spin: bool = False,
    memory_limit_bytes: int | None = None,
) -> tuple[Engine, Callable[[], Choice] | None]:
    """The same without trials: `auto` by what is known of this device, and what makes the trials that are due.

    They take seconds, start processes, and may run in any thread. Raises what `open_engine` raises.
    """
    if name != AUTO:
        return open_engine(name, bundle, cache_dir, spin, memory_limit_bytes), None
    cache = Cache(cache_dir)
    cache.evict()
    dropped = Dropped(cache)
    engines = _believed(dropped)
    opener = _opener(bundle, cache_dir, spin, memory_limit_bytes)
    match known_choice(bundle, engines, cache, spin):
        case (choice, settled):
            engine = AutoEngine(choice, opener, choice.able, dropped)
        case None:
            choice, settled = untried_choice(bundle, engines), False
            engine = AutoEngine(choice, opener, choice.able, dropped, untried_engine(engines))
    return engine, None if settled else partial(make_choice, bundle, engines, cache, spin)


def _believed(dropped: Dropped) -> tuple[str, ...]:
    installed = installed_engines()
    names = tuple(name for name in installed if name not in dropped.reasons)
    if not names:
        told = "; ".join(f"{name} {dropped.reasons[name]}" for name in installed)
        raise UnsupportedPoint(
            f"engine auto: none that is installed is believed any more ({told}); update its runtime, install"
            " another engine's, or name one as worker.engine to use it all the same"
        )
    return names


def _opener(
    bundle: Bundle, cache_dir: Path | None, spin: bool, memory_limit_bytes: int | None
) -> Callable[[str], Engine]:
    return partial(
        open_engine, bundle=bundle, cache_dir=cache_dir, spin=spin, memory_limit_bytes=memory_limit_bytes
    )


def _open_eager(opening: _Opening) -> Engine:
    keep_freed()
    if not opening.spin:
        wait_briefly()
    from tidegate.engines.reference.eager import EagerEngine  # noqa: PLC0415 - torch is an extra, and slow to import

    return EagerEngine(opening.bundle)


def _open_onnx(name: str, opening: _Opening) -> Engine:
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - ONNX Runtime is an extra

    return OnnxEngine(opening.bundle, NetworkCache(opening.cache, opening.bundle.sha256), opening.spin, name)


def _open_litert(opening: _Opening) -> Engine:
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415 - LiteRT is an extra

    return LiteRtEngine(opening.bundle)


def _open_mlx(opening: _Opening) -> Engine:
    try:
        from tidegate.engines.mlx.engine import MlxEngine  # noqa: PLC0415 - MLX is an extra
        from tidegate.engines.mlx.memory_limits import MemoryLimits  # noqa: PLC0415
    except ImportError as error:
        # Without a device that it can compute on, as in a virtual machine without a GPU, MLX fails to load.
        raise UnknownEngine(f"engine mlx: MLX is installed and doesn't load here: {error}") from error

    return MlxEngine(opening.bundle, MemoryLimits.within(opening.memory_limit_bytes))


def _open_coreml(name: str, opening: _Opening) -> Engine:
    from tidegate.engines.coreml.engine import CoreMlEngine  # noqa: PLC0415 - coremltools is an extra

    bundle = opening.bundle
    return CoreMlEngine(bundle, bundle.ladder.points, NetworkCache(opening.cache, bundle.sha256), name)


def _open_coreai(name: str, opening: _Opening) -> Engine:
    from tidegate.engines.coreai.engine import CoreAiEngine, dtype_here  # noqa: PLC0415 - coreai-core is an extra

    return CoreAiEngine(opening.bundle, opening.bundle.ladder.points, dtype_here(), unit_of(name))


def _open_mps(name: str, opening: _Opening) -> Engine:
    import torch  # noqa: PLC0415 - an extra, and slow to import

    from tidegate.engines.mps.engine import MpsEngine, limit_memory  # noqa: PLC0415

    if not torch.backends.mps.is_available():
        raise UnknownEngine(
            f"engine {name}: torch {torch.__version__} finds no GPU here; mlx and coreml need none of it"
        )
    limit_memory(opening.memory_limit_bytes)
    return MpsEngine(opening.bundle, name)


_OPENERS: Mapping[str, Callable[[_Opening], Engine]] = {
    **{name: partial(_open_onnx, name) for name in ("onnx", *PROVIDERS)},
    "litert": _open_litert,
    "mlx": _open_mlx,
    **{name: partial(_open_coreml, name) for name in ("coreml", "coreml-gpu", "coreml-cpu")},
    **{name: partial(_open_coreai, name) for name in ("coreai", "coreai-gpu")},
    "eager": _open_eager,
    **{name: partial(_open_mps, name) for name in ("mps", "mps-fp16")},
}
