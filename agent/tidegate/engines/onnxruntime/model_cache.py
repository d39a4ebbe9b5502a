"""Models as ONNX Runtime has optimized them, in files: opened in half the time, and no weights are copied.

A model has a directory of its own, with the graph and beside it the weights, which ONNX Runtime maps.
"""

import logging
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.onnxruntime.protobuf import OnnxGraph, model_bytes
from tidegate.engines.onnxruntime.qdq_propagation import disabled_optimizers
from tidegate.engines.onnxruntime.runtime import InferenceSession
from tidegate.engines.onnxruntime.session import open_session
from tidegate.engines.runtime.cache import Cache, Lease

log = logging.getLogger(__name__)

GRAPH = "graph.onnx"


@dataclass(frozen=True, slots=True)
class PlainModel:
    """A model before ONNX Runtime has optimized it, and by which of its optimizers it must not be."""

    content: bytes
    disabled_optimizers: tuple[str, ...] = ()

    @classmethod
    def of(cls, graph: OnnxGraph) -> "PlainModel":
        """A graph as a model."""
        return cls(model_bytes(graph), disabled_optimizers(graph))


def open_kept(
    cache: Cache,
    directory: Path | None,
    build: Callable[[], PlainModel],
    weights_folder: Path | None,
    threads: int,
    spin: bool,
) -> InferenceSession:
    """A session from the model's directory; a model that isn't there is built and kept. None: nothing is kept.

    Raises UnsupportedPoint as `open_session` does.
    """
    if directory is None:
        return _opened_plain(build(), weights_folder, threads, spin)
    session = _opened(cache, directory, cache.hold(directory), threads, spin)
    if session is not None:
        return session
    model = build()
    session = _opened(cache, directory, keep(cache, model, weights_folder, directory), threads, spin)
    return _opened_plain(model, weights_folder, threads, spin) if session is None else session


def keep(cache: Cache, model: PlainModel, weights_folder: Path | None, directory: Path) -> Lease | None:
    """Optimize a model into its directory; holds that when it is there now, whoever made it."""
    try:
        return cache.make(
            directory, lambda draft: _opened_plain(model, weights_folder, threads=1, keep_as=draft / GRAPH)
        )
    except UnsupportedPoint as error:
        # No room for it. A graph that is refused is refused again, in words.
        log.debug("%s is not kept: %s", directory, error)
    return None


def let_go_with(session: InferenceSession, leases: Iterable[Lease]) -> None:
    """Hold entries as long as the session, which maps their files, is there."""
    for lease in leases:
        weakref.finalize(session, lease.close)


def _opened_plain(
    model: PlainModel,
    weights_folder: Path | None,
    threads: int,
    spin: bool = False,
    *,
    keep_as: Path | None = None,
) -> InferenceSession:
    return open_session(
        model.content,
        weights_folder,
        threads,
        spin,
        disabled_optimizers=model.disabled_optimizers,
        keep_as=keep_as,
    )


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
