"""What a whole Mac draws, from the running sums of its power controller.

macOS renews what the controller tells only every 10 to 60 s. A single sample held for so long can be that of a
burst; the sums beside it (`AccumulatedSystemLoad` over `SystemLoadAccumulatorCount`, in mW) are of all in between.
"""

from tidegate_drivers.apple.plist import RecordError
from tidegate_drivers.apple.smart_battery import SmartBattery

_MOST_W = 1000.0


class LoadMeter:
    """The mean power since the renewal before, the latest sample until then; outlasts one discovery."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._mean_w: float | None = None

    def watts(self, node: SmartBattery) -> float:
        """What the Mac draws in W. Raises RecordError where its controller doesn't tell."""
        sample_w = node.load_w()
        try:
            summed = node.load_sums()
        except RecordError:
            return sample_w
        last, self._last = self._last, summed
        if last is not None and summed != last:
            samples = summed[1] - last[1]
            mean_w = (summed[0] - last[0]) / samples / 1000 if samples > 0 else 0.0
            # Sums that step back or leap were reset.
            self._mean_w = mean_w if 0 < mean_w <= _MOST_W else None
        return sample_w if self._mean_w is None else self._mean_w
