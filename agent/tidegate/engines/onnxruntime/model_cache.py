"""Models as ONNX Runtime has optimized them, in files: opened in half the time, and no weights are copied.

A model has a directory of its own, with the graph and beside it the weights, which ONNX Runtime maps.
"""

import logging
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import open_session
from tidegate.engines.runtime.cache import Cache, Lease

log = logging.getLogger(__name__)

GRAPH = "graph.onnx"


def open_kept(
    cache: Cache,
    directory: Path | None,
    build: Callable[[], bytes],
    weights_folder: Path | None,
    threads: int,
    spin: bool,
) -> InferenceSession:
    """A session from the model's directory; a model that isn't there is built and kept. None: nothing is kept.

    Raises UnsupportedPoint as `open_session` does.
    """
    if directory is None:
        return open_session(build(), weights_folder, threads, spin)
    session = _opened(cache, directory, cache.hold(directory), threads, spin)
    if session is not None:
        return session
    model = build()
    session = _opened(cache, directory, keep(cache, model, weights_folder, directory), threads, spin)
    return open_session(model, weights_folder, threads, spin) if session is None else session


def keep(cache: Cache, model: bytes, weights_folder: Path | None, directory: Path) -> Lease | None:
    """Optimize a model into its directory; holds that when it is there now, whoever made it."""
    try:
        return cache.make(
            directory, lambda draft: open_session(model, weights_folder, threads=1, keep_as=draft / GRAPH)
        )
    except UnsupportedPoint as error:
        # No room for it. A graph that is refused is refused again, in words.
        log.debug("%s is not kept: %s", directory, error)
    return None


def let_go_with(session: InferenceSession, leases: Iterable[Lease]) -> None:
    """Hold entries as long as the session, which maps their files, is there."""
    for lease in leases:
        weakref.finalize(session, lease.close)


def _opened(
    cache: Cache, directory: Path, lease: Lease | None, threads: int, spin: bool
) -> InferenceSession | None:
    """A session from a directory that is held; None where there is none. A damaged one is removed."""
    if lease is None:
        return None
    try:
        session = open_session(directory / GRAPH, None, threads, spin, optimized=True)
    except UnsupportedPoint as error:
        lease.close()
        cache.discard(directory, error)
        return None
    let_go_with(session, [lease])
    return session
