"""Sessions on another compute unit than the CPU: all of the graph there, or none."""

from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.model_cache import PlainModel
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import options_of, refusal_of
from tidegate.engines.runtime.onnx_providers import Provider

_NO_FALLBACK = "session.disable_cpu_ep_fallback"


def open_on(provider: Provider, model: PlainModel, weights_folder: Path | None, threads: int) -> InferenceSession:
    """Raises UnsupportedPoint where the unit or its driver is missing, and for a graph that it can't run whole.

    A graph that is half the CPU's would be timed and certified as what it is not.
    """
    options = options_of(threads, weights_folder)
    options.add_session_config_entry(_NO_FALLBACK, "1")
    try:
        session = InferenceSession(
            model.content,
            options,
            providers=[(provider.name, dict(provider.options)), *provider.behind],
            disabled_optimizers=[*model.disabled_optimizers] or None,
        )
    except Exception as error:
        raise refusal_of(error) from error
    # Without its libraries it is left out with a warning, and the CPU answers in its place.
    opened = session.get_providers()
    if opened[:1] != [provider.name]:
        told = f"ONNX Runtime opens {', '.join(opened)} in the place of {provider.name}"
        raise UnsupportedPoint(f"{told}: its driver or libraries are missing")
    return session
