"""What exits cost and spare on the engine that will run them: processor time per input at batch 1."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.cpu_time import cpu_times_ms
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import Array, Engine, UnsupportedPoint
from tidegate.models.graph import Segment

NEVER, ALWAYS = 2.0, -1.0
"""Thresholds that no margin, 0..1, exceeds, and that each does."""


@dataclass(frozen=True, slots=True)
class ExitTime:
    """`before_ms`: all that runs before an exit but exits; `own_ms`: the exit itself, whoever comes to it."""

    before_ms: float
    own_ms: float


@dataclass(frozen=True, slots=True)
class ExitTimes:
    """Of a setting without exits, and of each exit by block, in the order in which samples pass them."""

    whole_ms: float
    exits: Mapping[str, ExitTime]


def measure_exit_times(
    target: TargetEngine, engine: Engine, setting: KnobSettings, heads: Mapping[str, Segment], inputs: Array
) -> ExitTimes:
    """Times of these exits, by block, at a setting; `inputs` (n, *input shape) run one by one.

    Exits that the engine can't run are left out. Raises UnsupportedPoint where it can't run the setting without.
    """
    variants = [engine.prepare(candidate(setting, target.name))]
    able = []
    for block, head in heads.items():
        try:
            variants += [
                engine.prepare(candidate(setting.with_exit(block, 0.0, threshold, head.layers), target.name))
                for threshold in (NEVER, ALWAYS)
            ]
        except UnsupportedPoint:
            continue
        able.append(block)
    whole, *others = cpu_times_ms(variants, inputs)
    for variant in variants:
        variant.release()
    # Heads are much alike; one by one their times are differences of larger ones, and say less than all together.
    own = float(np.median([max(passed - whole, 0.0) for passed in others[::2]])) if able else 0.0
    exits = {}
    earlier = 0.0
    for block, left in zip(able, others[1::2], strict=True):
        earlier = min(max(left - own, earlier), whole)
        exits[block] = ExitTime(earlier, own)
    return ExitTimes(whole, exits)
