"""Opening ONNX Runtime sessions: threads sleep between runs, no arena, weights mapped from the bundle's file."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.runtime import GraphOptimizationLevel, InferenceSession, SessionOptions
from tidegate.engines.onnxruntime.thread_affinity import affinities, own_processors

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
_WEIGHTS_FILE = "session.optimized_model_external_initializers_file_name"
_ONLY_ERRORS = 3
_ARM64 = {"aarch64", "arm64"}
_WITHOUT_KLEIDIAI = "mlas.disable_kleidiai"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Session:
    """A session and the bytes of the weights that went into it."""

    runtime: InferenceSession
    weights_bytes: int


def open_session(
    model: bytes | Path,
    weights_folder: Path | None,
    threads: int,
    spin: bool = False,
    *,
    optimized: bool = False,
    disabled_optimizers: Sequence[str] = (),
    keep_as: Path | None = None,
) -> InferenceSession:
    """A session over a model's bytes or file.

    With `spin` its threads wait for each other awake until a run is over. A model that is `optimized` is taken as
    it is; any other is optimized, but not by those of ONNX Runtime's optimizers that `disabled_optimizers` names.
    `keep_as` is where the graph goes as ONNX Runtime has optimized it, its large weights into a file beside it.
    Raises UnsupportedPoint when ONNX Runtime refuses the model, or can't write.
    """
    options = options_of(threads, weights_folder, spin)
    if keep_as is not None:
        options.optimized_model_filepath = str(keep_as)
        options.add_session_config_entry(_WEIGHTS_FILE, f"{keep_as.stem}.weights")
    if optimized:
        options.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model
    try:
        session = InferenceSession(
            source, options, providers=["CPUExecutionProvider"], disabled_optimizers=[*disabled_optimizers] or None
        )
    except Exception as error:
        raise refusal_of(error) from error
    # It keeps the model for a change of providers, which never comes: as many bytes as the weights in it.
    session._model_bytes = None  # noqa: SLF001 - there is no other way to be rid of them
    return session


def options_of(threads: int, weights_folder: Path | None, spin: bool = False) -> SessionOptions:
    """What all sessions are opened with; for `spin` see `open_session`."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    # The arena keeps what the largest request took; without it ResNet-18 holds 10 MiB less and is as fast.
    options.enable_cpu_mem_arena = False
    # Threads that spin between runs burn the battery, and beside torch's pool they slow both tenfold.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # KleidiAI's kernels keep a buffer for each shape and thread and give none back: 2 GB in an idle process, 0.2
    # without them (microsoft/onnxruntime#29538, 1.28). They matter to processors with SME, which few boards have.
    if platform.machine() in _ARM64:
        options.add_session_config_entry(_WITHOUT_KLEIDIAI, "1")
    placed = affinities(threads, own_processors())
    if placed is not None:
        options.add_session_config_entry("session.intra_op_thread_affinities", placed)
    if weights_folder is not None:
        options.add_session_config_entry(_WEIGHTS_FOLDER, str(weights_folder))
    return options


def refusal_of(error: Exception) -> UnsupportedPoint:
    """ONNX Runtime raises classes of its own C extension, all of them plain Exceptions."""
    return UnsupportedPoint(f"ONNX Runtime refuses the graph: {str(error).partition(chr(10))[0]}")
