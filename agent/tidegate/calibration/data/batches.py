"""Running many samples through a network in batches that fit into memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from tidegate.engines.engine import Answer, Array, Engine, Variant
from tidegate.models.ladder import Activity, OperatingPoint

_T = TypeVar("_T")

BATCH_BYTES = 2**23
"""Of inputs. Activations are some tens of times larger: ResNet-18 at 224x224 holds 5 times its input, twice."""


def answer_all(variant: Variant, inputs: Array) -> Answer:
    """What a variant of any engine answers on all inputs (n, *input shape), n at least 1."""
    return _joined_answers([variant.run(batch) for batch in batches(inputs)])


def answer_on_all_cores(engine: Engine, point: OperatingPoint, inputs: Array) -> Answer:
    """The same to the bit, sooner: each batch runs with the point's own threads, and several beside each other.

    Raises UnsupportedPoint.
    """
    # Frames are compared in the order in which they come.
    in_order = point.activity is Activity.FRAME_CHANGE
    beside = 1 if in_order else parallel_batches(inputs, point.threads)
    variants = [engine.prepare(point) for _ in range(beside)]
    return _joined_answers(map_batches([variant.run for variant in variants], inputs))


def parallel_batches(inputs: Array, threads: int = 1) -> int:
    """How many batches may run at once, each with so many threads."""
    return max(1, min(sum(1 for _ in batches(inputs)), (os.cpu_count() or 1) // threads))


def map_batches(workers: Sequence[Callable[[Array], _T]], inputs: Array) -> list[_T]:
    """What the batches give, in their order; each worker is called from one thread."""
    if len(workers) == 1:
        return [workers[0](batch) for batch in batches(inputs)]
    todo = list(batches(inputs))

    def share(index: int) -> list[_T]:
        return [workers[index](batch) for batch in todo[index :: len(workers)]]

    with ThreadPoolExecutor(len(workers)) as pool:
        shares = list(pool.map(share, range(len(workers))))
    return [shares[index % len(workers)][index // len(workers)] for index in range(len(todo))]


def _joined_answers(answers: Sequence[Answer]) -> Answer:
    return Answer(
        np.concatenate([answer.outputs for answer in answers]),
        sum(answer.executed_blocks for answer in answers),
        sum(answer.skipped_blocks for answer in answers),
    )


def batches(inputs: Array, most: int | None = None) -> Iterator[Array]:
    """The inputs in order, in runs of about BATCH_BYTES and at most so many samples, at least one sample each."""
    size = max(1, BATCH_BYTES // inputs[0].nbytes)
    if most is not None:
        size = min(size, most)
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]
