"""What AA-ReLU needs to know of a stored value before it can be turned: where its values lie, seen on part S."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.engine import Array
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.aa_relu import adapted
from tidegate.models.ladder import Activation
from tidegate.models.sites import Site

_T = TypeVar("_T", bound=np.generic)

_KEPT_VALUES = 20_000
"""Per stored value: quantiles of so many are good to about a percent of the values."""

_CLIP_QUANTILES = (1.0, 0.9999, 0.999, 0.995, 0.99)


@dataclass(frozen=True, slots=True)
class SiteRange:
    """A sample of one stored value's elements, with how many it has per input."""

    site: Site
    seen: Tensor

    def threshold(self, share: float) -> float:
        """T below which that share of the non-zero magnitudes lies; 0 for a share of 0."""
        magnitudes = self.seen[self.seen != 0].abs()
        return float(torch.quantile(magnitudes, share)) if share > 0 and len(magnitudes) else 0.0

    def clip(self, bits: int) -> float:
        """The range with the least mean squared error at `bits`: the fewer, the less the tail is worth."""
        magnitudes = self.seen.abs()
        clips = {float(torch.quantile(magnitudes, quantile)) for quantile in _CLIP_QUANTILES} - {0.0}
        return min(clips, key=lambda clip: self._error(Activation(clip=clip, bits=bits)), default=1.0)

    def _error(self, setting: Activation) -> float:
        return float((adapted(self.seen, setting, self.site.floor) - self.seen).square().mean())


def observe_ranges(tracer: Tracer, inputs: Array, seed: int = 0) -> Mapping[str, SiteRange]:
    """Ranges of all stored values by name, of the full network on inputs (samples, *input shape)."""
    samples: dict[str, list[Tensor]] = {}
    generator = torch.Generator().manual_seed(seed)
    sites = {site.name: site for site in tracer.sites}
    per_input = max(1, _KEPT_VALUES // len(inputs))

    def keep(site: Site, values: Tensor) -> None:
        flat = values.flatten()
        chosen = torch.randint(len(flat), (min(per_input * len(values), len(flat)),), generator=generator)
        samples.setdefault(site.name, []).append(flat[chosen])

    tracer.trace(KnobSettings(), inputs, keep)
    return {name: SiteRange(sites[name], torch.cat(chunks)) for name, chunks in samples.items()}


def uniform(ranges: Mapping[str, SiteRange], bits: int, zero_share: float = 0.0) -> dict[str, Activation]:
    """The same bits everywhere, and the same share of zeros more behind every activation function."""
    return {
        name: Activation(found.threshold(zero_share) if found.site.is_activation else 0.0, found.clip(bits), bits)
        for name, found in ranges.items()
    }


def sampled(values: npt.NDArray[_T], count: int) -> npt.NDArray[_T]:
    """At most `count` of the inputs or labels, evenly spaced: the same ones of both."""
    if len(values) <= count:
        return values
    chosen: npt.NDArray[_T] = values[np.linspace(0, len(values) - 1, count).astype(int)]
    return chosen
