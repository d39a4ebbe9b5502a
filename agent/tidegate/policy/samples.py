"""Whether a reading may be acted on at once: a jump that no device makes waits for a second sample.

An urgent rule leaves everything behind, and the way back takes minutes: one wrong sample must not send it down. A
real overheating is seen in the next sample too, so it is acted on one sample later at most.
"""

import math
from collections.abc import Callable, Mapping

from tidegate_drivers.reading import BATTERY, TEMPERATURE, Snapshot, Value

Sample = tuple[float, Value]
"""When a sensor was read, on the snapshot's clock (s), and what it said."""
Samples = tuple[Sample, ...]
"""The last samples of one reading, oldest first, at most KEPT."""

KEPT = 3
TOGETHER_S = 60.0
"""Within how long the sample before the last one still counts as the second: of a sensor that jumps between two
values nobody knows which is true, and half of the time beyond a limit is beyond it."""

_POSSIBLE: Mapping[str, tuple[float, float]] = {TEMPERATURE: (3.0, 0.5), BATTERY: (2.0, 0.02)}
"""By reading: the change that any two samples may have (noise and rounding) and what may come per second. Chips do
heat up faster, for a moment: then it takes the second sample."""
_SHARE = 0.1
"""Of all other readings, the share of the value by which two samples may differ: a draw may change at any time."""


def taken(before: Mapping[str, Samples], snapshot: Snapshot, readings: tuple[str, ...]) -> dict[str, Samples]:
    """The last samples of the readings, with this snapshot's where it holds a new one: of a reading that is only
    handed on again, `at` is the same."""
    samples = {}
    for name in readings:
        last = before.get(name, ())
        value = snapshot.number(name)
        said = value if value is not None else snapshot.word(name)
        if said is None or (isinstance(said, float) and not math.isfinite(said)):
            samples[name] = last
            continue
        at = snapshot.readings[name].at
        if not last or at < last[-1][0]:
            samples[name] = ((at, said),)
        else:
            samples[name] = last if at == last[-1][0] else (*last[1 - KEPT :], (at, said))
    return samples


def believed(name: str, samples: Samples, beyond: Callable[[Value], bool]) -> bool:
    """Whether the last sample, which is beyond some limit, may be acted on.

    It may where it is the first, where the device can have come there since the one before, and where one of the
    two before it was beyond the limit as well.
    """
    if len(samples) < 2:
        return True
    (before_at, before), (now_at, now) = samples[-2:]
    if beyond(before) or _possible(name, before, now, now_at - before_at):
        return True
    return len(samples) == KEPT and now_at - samples[0][0] <= TOGETHER_S and beyond(samples[0][1])


def _possible(name: str, before: Value, now: Value, passed_s: float) -> bool:
    if isinstance(before, str) or isinstance(now, str):
        return before == now
    least, per_second = _POSSIBLE.get(name.partition("/")[0], (_SHARE * max(abs(before), abs(now)), 0.0))
    return abs(now - before) <= least + per_second * passed_s
