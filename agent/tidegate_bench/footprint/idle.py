"""One process over a while in which nothing is asked of it: medians, shares and rates. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tidegate_bench.footprint.sample import Sample

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Idle:
    """Memory in MB (10^6 bytes), medians of the samples; CPU in percent of one core; None is what was not told."""

    pss_mb: float | None
    rss_mb: float | None
    private_mb: float | None
    cpu_percent: float
    wakeups_per_s: float
    written_mb_per_day: float | None


def idle(samples: Sequence[Sample]) -> Idle:
    """Two samples or more, in order. Raises ValueError for fewer."""
    if len(samples) < 2:
        raise ValueError(f"found {len(samples)} samples, two or more are needed")
    first, last = samples[0], samples[-1]
    lasted_s = last.at_s - first.at_s
    written = None
    if first.written_bytes is not None and last.written_bytes is not None:
        written = (last.written_bytes - first.written_bytes) / lasted_s * DAY_S / 1e6
    return Idle(
        pss_mb=_median_mb([each.pss_bytes for each in samples]),
        rss_mb=_median_mb([each.rss_bytes for each in samples]),
        private_mb=_median_mb([each.private_bytes for each in samples]),
        cpu_percent=100 * (last.cpu_s - first.cpu_s) / lasted_s,
        # A thread that ended takes its count with it; a total that fell says nothing of that interval.
        wakeups_per_s=sum(max(0, b.wakeups - a.wakeups) for a, b in pairwise(samples)) / lasted_s,
        written_mb_per_day=written,
    )


def _median_mb(found: Sequence[int | None]) -> float | None:
    told = [each for each in found if each is not None]
    return median(told) / 1e6 if told else None
