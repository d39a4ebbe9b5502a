"""Which engines can run here, by what is installed. Loads none of them."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from tidegate.engines.runtime.apple_silicon import has_core_ai, has_core_ml, is_apple_silicon
from tidegate.engines.runtime.onnx_providers import PROVIDERS, WHEELS, providers_here
from tidegate.engines.runtime.runtimes import AUTO, ENGINES, FORMS, RUNTIMES, runtime_of
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.extras import lacking


class UnknownEngine(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """No engine of that name, or its runtime is not installed; the message says what to do."""

    exit_code = EX_UNAVAILABLE


def check_installed(name: str) -> None:
    """Raises UnknownEngine when there is no such engine, or its runtime (for `auto` every one) is missing."""
    if name not in ENGINES:
        raise UnknownEngine(f"engine {name!r}: there is none; allowed are {', '.join(ENGINES)}")
    if name == AUTO:
        installed_engines()
    elif installed_version(runtime_of(name)) is None:
        raise UnknownEngine(f"engine {name}: {lacking(runtime_of(name))}")
    elif FORMS.get(name, name) == "coreml" and not has_core_ml():
        raise UnknownEngine(
            f"engine {name}: Core ML serves on macOS 15 or newer with Apple Silicon alone; here packages can be"
            " written: tidegate bundle coreml BUNDLE --out DIRECTORY"
        )
    elif name.startswith("mps") and not is_apple_silicon():
        raise UnknownEngine(f"engine {name}: it is torch on the GPU of Apple Silicon; here torch runs as eager")
    elif name in PROVIDERS and name not in providers_here():
        raise UnknownEngine(
            f"engine {name}: {PROVIDERS[name].name} is not in the installed wheel of ONNX Runtime; wheels are"
            f" {', '.join(WHEELS)}"
        )
    elif name == "coreai-gpu" and not has_core_ai():
        raise UnknownEngine(
            f"engine {name}: Core AI has units to choose from on macOS 27 or newer alone; its executor is coreai"
        )


def installed_engines() -> tuple[str, ...]:
    """Names of the engines that serve here and have their runtime installed. Raises UnknownEngine without any.

    MLX and Core AI on Linux are proofs of their engines, for those who name them: what runs there is not made for
    speed. torch on a Mac's GPU is for those who name it, too: `mlx` is the same in a tenth of the memory. ONNX
    Runtime's providers come last, so that none of them answers before its trial.
    """
    serves = {"mlx": is_apple_silicon, "coreml": has_core_ml, "coreai": has_core_ai}
    provided = providers_here()
    found = tuple(
        name
        for name in (*RUNTIMES, *FORMS)
        if installed_version(runtime_of(name)) is not None
        and not name.startswith("mps")
        and (name not in PROVIDERS or name in provided)
        and serves.get(FORMS.get(name, name), lambda: True)()
    )
    if not found:
        raise UnknownEngine(
            f"no engine: neither onnxruntime nor torch is installed; the smaller: {lacking('onnxruntime')}"
        )
    return found


def installed_version(name: str) -> str | None:
    """A package's version without importing it, `onnxruntime` by any of its wheels; None without one."""
    for package in WHEELS if name == "onnxruntime" else (name,):
        with suppress(PackageNotFoundError):
            return version(package)
    return None
