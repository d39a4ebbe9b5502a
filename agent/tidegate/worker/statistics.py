"""Triton's statistics extension: requests since the worker began, and how long each part of them took."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate.worker.protocol.model_documents import VERSION

COMPUTE = ("compute_input", "compute_infer", "compute_output")


@dataclass(slots=True)
class _Duration:
    """Of one part of requests, over all of them."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    @property
    def document(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class Statistics:
    """Counts since the worker began. One event loop's, not thread-safe."""

    _samples: int = 0
    _last_inference_ms: int = 0
    _parts: dict[str, _Duration] = field(
        default_factory=lambda: {part: _Duration() for part in ("success", "fail", "queue", *COMPUTE)}
    )

    # By the number of samples, of which a model has 64 at most.
    _by_size: dict[int, dict[str, _Duration]] = field(default_factory=dict)

    def answered(self, samples: int, input_ns: int, queue_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count an answered request; `input_ns` went into reading it, `output_ns` into writing the reply."""
        self._samples += samples
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._parts["success"].add(input_ns + queue_ns + infer_ns + output_ns)
        self._parts["queue"].add(queue_ns)
        of_size = self._by_size.setdefault(samples, {part: _Duration() for part in COMPUTE})
        for part, ns in zip(COMPUTE, (input_ns, infer_ns, output_ns), strict=True):
            self._parts[part].add(ns)
            of_size[part].add(ns)

    def failed(self, ns: int) -> None:
        """Count a request that was refused or broke, after that time."""
        self._parts["fail"].add(ns)

    def document(self, model: str) -> dict[str, Any]:
        """A model's part of GET /v2/models/stats. Nothing is cached."""
        return {
            "name": model,
            "version": VERSION,
            "last_inference": self._last_inference_ms,
            "inference_count": self._samples,
            "execution_count": self._parts["success"].count,
            "inference_stats": _documents(self._parts),
            "batch_stats": [
                {"batch_size": size, **_documents(self._by_size[size])} for size in sorted(self._by_size)
            ],
        }


def _documents(parts: Mapping[str, _Duration]) -> dict[str, dict[str, int]]:
    return {part: each.document for part, each in parts.items()}
