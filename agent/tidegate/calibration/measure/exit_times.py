"""What exits cost and spare on the engine that will run them: processor time per input at batch 1."""

import math
from collections.abc import Mapping, Sequence
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

LEAST_MS = 0.005
"""Of an exit: what a call into a runtime takes. Beside other load, differences may come out at nothing."""

ROUNDS = 30


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
    whole, *others = cpu_times_ms(variants, inputs, ROUNDS)
    for variant in variants:
        variant.release()
    own_ms = along_line(
        [math.prod(heads[block].input_shape) for block in able], [passed - whole for passed in others[::2]]
    )
    exits = {}
    earlier = 0.0
    for block, left, own in zip(able, others[1::2], own_ms, strict=True):
        earlier = min(max(left - own, earlier), whole)
        exits[block] = ExitTime(earlier, own)
    return ExitTimes(whole, exits)


def along_line(sizes: Sequence[int], differences_ms: Sequence[float]) -> list[float]:
    """What heads take that read so many elements: never less for a larger one, and never less than LEAST_MS.

    One by one they are differences of larger times, and say less than all together: the line of least squares.
    """
    if not sizes:
        return []
    x, y = np.asarray(sizes, np.float64), np.asarray(differences_ms, np.float64)
    spread = float(x.var())
    slope = max(float(((x - x.mean()) * y).mean()) / spread, 0.0) if spread > 0 else 0.0
    return [max(float(own), LEAST_MS) for own in y.mean() + slope * (x - x.mean())]
