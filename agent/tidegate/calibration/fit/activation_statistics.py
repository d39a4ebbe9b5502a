"""Where the values of activation tensors lie, seen on part S: AA-ReLU takes its thresholds and clips from that."""

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
from tidegate.models.graph.activation_tensors import ActivationTensor
from tidegate.models.ladder import Activation

_T = TypeVar("_T", bound=np.generic)

_KEPT_VALUES = 20_000
"""Per activation tensor: quantiles of so many are good to about a percent of the values."""

_CLIP_QUANTILES = (1.0, 0.9999, 0.999, 0.995, 0.99)


@dataclass(frozen=True, slots=True)
class ActivationStatistics:
    """A sample of one activation tensor's elements over all inputs."""

    tensor: ActivationTensor
    sample: Tensor

    def threshold(self, share: float) -> float:
        """T below which that share of the non-zero magnitudes lies; 0 for a share of 0."""
        magnitudes = self.sample[self.sample != 0].abs()
        return float(torch.quantile(magnitudes, share)) if share > 0 and len(magnitudes) else 0.0

    def clip(self, bits: int) -> float:
        """The range with the least mean squared error at `bits`: the fewer, the less the tail is worth."""
        magnitudes = self.sample.abs()
        clips = {*torch.quantile(magnitudes, torch.tensor(_CLIP_QUANTILES)).tolist()} - {0.0}
        return min(clips, key=lambda clip: self._error(Activation(clip=clip, bits=bits)), default=1.0)

    def _error(self, setting: Activation) -> float:
        return float((adapted(self.sample, setting, self.tensor.floor) - self.sample).square().mean())


def collect_statistics(tracer: Tracer, inputs: Array, seed: int = 0) -> Mapping[str, ActivationStatistics]:
    """Of all activation tensors by name, of the full network on inputs (samples, *input shape)."""
    samples: dict[str, list[Tensor]] = {}
    generator = torch.Generator().manual_seed(seed)
    tensors = {tensor.name: tensor for tensor in tracer.activation_tensors}
    per_input = max(1, _KEPT_VALUES // len(inputs))

    def keep(tensor: ActivationTensor, values: Tensor) -> None:
        flat = values.flatten()
        chosen = torch.randint(len(flat), (min(per_input * len(values), len(flat)),), generator=generator)
        samples.setdefault(tensor.name, []).append(flat[chosen])

    tracer.trace(KnobSettings(), inputs, keep)
    return {name: ActivationStatistics(tensors[name], torch.cat(chunks)) for name, chunks in samples.items()}


def uniform(
    statistics: Mapping[str, ActivationStatistics], bits: int, zero_share: float = 0.0
) -> dict[str, Activation]:
    """The same bits everywhere, and the same share of zeros more behind every activation function."""
    return {
        name: Activation(
            found.threshold(zero_share) if found.tensor.is_activation else 0.0, found.clip(bits), bits
        )
        for name, found in statistics.items()
    }


def sampled(values: npt.NDArray[_T], count: int) -> npt.NDArray[_T]:
    """At most `count` of the inputs or labels, evenly spaced: the same ones of both."""
    if len(values) <= count:
        return values
    chosen: npt.NDArray[_T] = values[np.linspace(0, len(values) - 1, count).astype(int)]
    return chosen
