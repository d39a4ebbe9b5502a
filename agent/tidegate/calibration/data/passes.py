"""Running many samples through the reference's own network, which says what ran in it."""

from collections.abc import Sequence

import numpy as np

from tidegate.calibration.data.batches import batches
from tidegate.engines.engine import Array
from tidegate.engines.reference.staged import Pass, StagedNetwork, Watch


def forward_all(network: StagedNetwork, inputs: Array, watch: Watch | None = None) -> Pass:
    """One pass over all inputs (n, *input shape), n at least 1; `watch` is called once per batch and block."""
    return concatenated([network.forward(batch, watch) for batch in batches(inputs)])


def concatenated(passes: Sequence[Pass]) -> Pass:
    """Passes over consecutive batches, at least one, as one."""
    if len(passes) == 1:
        return passes[0]
    executed = {block: sum(done.executed[block] for done in passes) for block in passes[0].executed}
    outputs = np.concatenate([done.outputs for done in passes])
    flops, decisions = (sum(done.flops for done in passes), sum(done.decisions for done in passes))
    return Pass(outputs, executed, flops, decisions)
