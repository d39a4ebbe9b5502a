"""Which parts of a network compute in fp32 after all, since 8 bits take longer there on the engine. Pure.

Without instructions for products of bytes, and wherever an engine has no integer kernel, 8 bits cost time: on AVX2
a network with hard-swish and squeeze-excitation took LiteRT three times as long in int8 as in fp32.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidegate.calibration.measure.exit_times import LEAST_MS, ExitTimes

SWITCH_MS = LEAST_MS
"""Of a value that goes from codes to floats or back, between parts of different precision."""

WORTHWHILE = 0.95
"""Of the time in 8 bits: parts in fp32 must bring it below this share, since times vary by some percent."""

Values = npt.NDArray[np.float64]


def mean_ms(times: ExitTimes) -> float:
    """Of a sample, if as many left at each exit as go to the end."""
    return float(_arrivals_ms(times).mean())


def parts_in_fp32(
    eight: ExitTimes, full: ExitTimes, added_bytes: Sequence[int], byte_ms: float
) -> tuple[bool, ...]:
    """Per part, from one exit to the next and behind the last one, whether fp32 costs less than 8 bits.

    `eight` and `full` are the times in either precision, with the same exits. fp32 holds `added_bytes` more in
    each part, and a byte is worth `byte_ms`. As many samples are taken to leave at each exit as go to the end.
    """
    parts = len(eight.exits) + 1
    reaching = np.arange(parts, 0, -1) / parts
    costs = np.stack([_parts_ms(eight) * reaching, _parts_ms(full) * reaching + byte_ms * np.asarray(added_bytes)])
    # The cheapest way through the parts (Viterbi): `before` has the precision from which each is best reached.
    total = costs[:, 0]
    before = []
    for part in range(1, parts):
        switched = total[::-1] + SWITCH_MS * reaching[part]
        before.append(np.where(switched < total, [1, 0], [0, 1]))
        total = np.minimum(total, switched) + costs[:, part]
    chosen = [int(total.argmin())]
    for origin in reversed(before):
        chosen.append(int(origin[chosen[-1]]))
    return tuple(bool(each) for each in reversed(chosen))


def _parts_ms(times: ExitTimes) -> Values:
    """What every part takes, the head behind it included; noise may have an earlier exit take longer."""
    return np.maximum(np.diff(_arrivals_ms(times), prepend=0.0), 0.0)


def _arrivals_ms(times: ExitTimes) -> Values:
    """What a sample takes that leaves at each exit, and one that goes to the end."""
    leaving = [each.before_ms + each.own_ms for each in times.exits.values()]
    # No head is asked at the end: with one its time compares with those of exits.
    last_ms = [each.own_ms for each in times.exits.values()][-1:]
    return np.asarray([*leaving, times.whole_ms + sum(last_ms)])
