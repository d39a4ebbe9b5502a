"""Models as ONNX Runtime has optimized them, in files: opened in half the time, and no weights are copied.

A model has a directory of its own, with the graph and beside it the weights, which ONNX Runtime maps. What it made
of the graph holds for one processor and one version of the software, and so does the cache that it all lies in.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import open_session
from tidegate.files import place_directory

log = logging.getLogger(__name__)

GRAPH = "graph.onnx"


def open_kept(
    directory: Path | None, build: Callable[[], bytes], weights_folder: Path | None, threads: int, spin: bool
) -> InferenceSession:
    """A session from the model's directory; a model that isn't there is built and kept. None: nothing is kept.

    Raises UnsupportedPoint as `open_session` does.
    """
    if directory is None:
        return open_session(build(), weights_folder, threads, spin)
    graph = directory / GRAPH
    if graph.exists():
        try:
            return open_session(graph, None, threads, spin, optimized=True)
        except UnsupportedPoint as error:
            forget(directory, error)
    model = build()
    if keep(model, weights_folder, directory):
        return open_session(graph, None, threads, spin, optimized=True)
    return open_session(model, weights_folder, threads, spin)


def forget(directory: Path, error: Exception) -> None:
    """Remove a model that doesn't open, so that it is made again."""
    log.warning("%s is damaged and made again: %s", directory, error)
    shutil.rmtree(directory, ignore_errors=True)


def keep(model: bytes, weights_folder: Path | None, directory: Path) -> bool:
    """Optimize a model into its directory; gives whether that is there now, whoever made it."""
    try:
        place_directory(
            directory, lambda draft: open_session(model, weights_folder, threads=1, keep_as=draft / GRAPH)
        )
    except (OSError, UnsupportedPoint) as error:
        # No place for it, or another process was first. A graph that is refused is refused again, in words.
        log.debug("%s is not kept: %s", directory, error)
    return (directory / GRAPH).exists()
