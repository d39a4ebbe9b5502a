"""Triton's statistics extension: requests since the worker began, and how long each part of them took."""

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tidegate.worker.protocol.model_documents import VERSION


class Statistics:
    """Counts since the worker began. One event loop's, not thread-safe."""

    def __init__(self) -> None:
        self._last_inference_ms = 0
        self._failed = 0
        self._failed_ns = 0
        # By the number of samples, of which a model has 64 at most. Plain lists: each answer is counted when the
        # network has just had the caches.
        self._by_size: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        """Requests, and ns until they were read, in the queue, in the network, and until they were written."""

    def answered(self, samples: int, input_ns: int, queue_ns: int, infer_ns: int, output_ns: int) -> None:
        """Count an answered request; `input_ns` went into reading it, `output_ns` into writing the reply."""
        self._last_inference_ms = time.time_ns() // 1_000_000
        counts = self._by_size[samples]
        counts[0] += 1
        counts[1] += input_ns
        counts[2] += queue_ns
        counts[3] += infer_ns
        counts[4] += output_ns

    def failed(self, ns: int) -> None:
        """Count a request that was refused or broke, after that time."""
        self._failed += 1
        self._failed_ns += ns

    def document(self, model: str) -> dict[str, Any]:
        """A model's part of GET /v2/models/stats. Nothing is cached."""
        of_all = [sum(column) for column in zip([0] * 5, *self._by_size.values(), strict=True)]
        count, queue_ns = of_all[0], of_all[2]
        return {
            "name": model,
            "version": VERSION,
            "last_inference": self._last_inference_ms,
            "inference_count": sum(size * counts[0] for size, counts in self._by_size.items()),
            "execution_count": count,
            "inference_stats": {
                "success": _duration(count, sum(of_all[1:])),
                "fail": _duration(self._failed, self._failed_ns),
                "queue": _duration(count, queue_ns),
                **_compute(of_all),
            },
            "batch_stats": [
                {"batch_size": size, **_compute(self._by_size[size])} for size in sorted(self._by_size)
            ],
        }


def _compute(counts: list[int]) -> Mapping[str, dict[str, int]]:
    count, input_ns, _, infer_ns, output_ns = counts
    return {
        "compute_input": _duration(count, input_ns),
        "compute_infer": _duration(count, infer_ns),
        "compute_output": _duration(count, output_ns),
    }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
