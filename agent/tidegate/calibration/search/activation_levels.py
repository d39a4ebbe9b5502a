"""AA-ReLU as moves of the search: one width and one share of zeros for all activation tensors.

Bytes of activations are counted at the segment where most are alive. A step that turned one segment alone would
save nothing while another holds as much, so that all are turned together. Each has a T of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tidegate.calibration.fit.activation_statistics import ActivationStatistics, uniform
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.models.ladder import Activation

BITS = (8, 6, 5, 4, 3)
ZERO_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Share of a value's non-zero elements that its threshold cuts to zero."""

Level = tuple[int, float]
"""Bits, and the share of non-zero activations that is cut to zero."""


@dataclass(frozen=True, slots=True)
class ActivationLevels:
    """The levels of AA-ReLU on one network, from its activation tensors' `statistics`; each is worked out once."""

    statistics: Mapping[str, ActivationStatistics]
    _levels: dict[Level, Mapping[str, Activation]] = field(default_factory=dict)

    def next_levels(self, setting: KnobSettings) -> Iterator[Level]:
        """One width down, or one share of zeros up; zeros come once values have bits."""
        if setting.bits is None:
            yield BITS[0], setting.zero_share
            return
        narrower = BITS[BITS.index(setting.bits) + 1 :]
        yield from ((bits, setting.zero_share) for bits in narrower[:1])
        emptier = ZERO_SHARES[ZERO_SHARES.index(setting.zero_share) + 1 :]
        yield from ((setting.bits, share) for share in emptier[:1])

    def applied(self, setting: KnobSettings, level: Level) -> KnobSettings:
        """The setting with AA-ReLU at every activation tensor, each with the clip and T that suit the level."""
        if level not in self._levels:
            self._levels[level] = uniform(self.statistics, *level)
        bits, share = level
        return replace(setting, activations=self._levels[level], bits=bits, zero_share=share)
