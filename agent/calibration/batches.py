"""Running many samples through a network in batches that fit into memory."""

from collections.abc import Iterator, Sequence

import numpy as np

from agent.engines.engine import Answer, Array, Variant
from agent.engines.staged import Pass, StagedNetwork, Watch

BATCH_BYTES = 2**23
"""Of inputs. Activations are some tens of times larger: ResNet-18 at 224x224 holds 5 times its input, twice."""


def run(network: StagedNetwork, inputs: Array, watch: Watch | None = None) -> Pass:
    """One pass over all inputs (n, *input shape), n at least 1; `watch` is called once per batch and block."""
    return joined([network.forward(batch, watch) for batch in batches(inputs)])


def joined(passes: Sequence[Pass]) -> Pass:
    """Passes over consecutive batches, at least one, as one."""
    if len(passes) == 1:
        return passes[0]
    executed = {block: sum(done.executed[block] for done in passes) for block in passes[0].executed}
    outputs = np.concatenate([done.outputs for done in passes])
    flops, decisions = (sum(done.flops for done in passes), sum(done.decisions for done in passes))
    return Pass(outputs, executed, flops, decisions)


def answer_all(variant: Variant, inputs: Array) -> Answer:
    """What a variant of any engine answers on all inputs (n, *input shape), n at least 1."""
    answers = [variant.run(batch) for batch in batches(inputs)]
    return Answer(
        np.concatenate([answer.outputs for answer in answers]),
        sum(answer.executed_blocks for answer in answers),
        sum(answer.skipped_blocks for answer in answers),
    )


def batches(inputs: Array) -> Iterator[Array]:
    """The inputs in order, in runs of about BATCH_BYTES, at least one sample each."""
    size = max(1, BATCH_BYTES // inputs[0].nbytes)
    for start in range(0, len(inputs), size):
        yield inputs[start : start + size]
