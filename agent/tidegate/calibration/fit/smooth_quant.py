"""Channels that stand out are evened out before quantizing: SmoothQuant (arXiv:2211.10438), in closed form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tidegate.calibration.fit.activation_statistics import sampled
from tidegate.calibration.fit.histogram import Histogram
from tidegate.calibration.fit.range_choice import least_error_range
from tidegate.calibration.fit.smoothing_sites import SmoothingSite, sites_of, smoothed_at
from tidegate.engines.engine import Array
from tidegate.engines.plan.quantization import LEVELS, WEIGHT_LIMIT, QuantParams, quantize_weight
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.graph import INPUT
from tidegate.models.network import TrainedNetwork
from tidegate.models.precision import Fp32Weight

INPUTS = 64
"""Of part S: what a norm gives differs less from one input to the next than what it is given."""

ROWS = 1024
"""Of a value's positions over these inputs, that errors are measured on."""

ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""How much of the spread among channels goes from the value to the weights."""

WORTH_FACTORS = 0.9
"""Of the layers' squared error as they are: with factors in the norm it must be less."""

WORTH_PRODUCT = 0.5
"""The same where a product is added, which costs time in every precision."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of a value: the largest magnitude by channel, and rows of it (rows, channels)."""

    largest: Array
    rows: Array


def smoothed(network: TrainedNetwork, inputs: Array) -> TrainedNetwork:
    """The network with its channels evened out where that makes int8 layers more exact; alpha is chosen by site.

    `inputs` are (n, *input shape). In fp32 its answers are the same to the bit.
    """
    sites = sites_of(network)
    if not sites:
        return network
    for site, seen in _seen_at(network, sites, sampled(inputs, INPUTS)):
        factors = best_factors(seen.largest, seen.rows, [network.arrays[name] for name in site.weights], site)
        if factors is not None:
            network = smoothed_at(network, site, factors)
    return network


def best_factors(largest: Array, rows: Array, weights: Sequence[Array], site: SmoothingSite) -> Array | None:
    """Powers of two for a value of `rows` (n, channels) that layers (outputs, channels) read; None to leave it."""
    reach = np.maximum.reduce([np.abs(weight).max(axis=0) for weight in weights])
    candidates = [_factors(largest, reach, alpha) for alpha in ALPHAS]
    errors = [
        _error(rows / factors, rows, [weight * factors for weight in weights], weights) for factors in candidates
    ]
    best = int(np.argmin(errors))
    worth = WORTH_PRODUCT if site.norm is None else WORTH_FACTORS
    return candidates[best] if errors[best] < worth * _error(rows, rows, weights, weights) else None


def _factors(largest: Array, reach: Array, alpha: float) -> Array:
    """max|x|^alpha / max|w|^(1 - alpha) by channel as powers of two around 1; 1 where a channel is silent."""
    heard = (largest > 0) & (reach > 0)
    exponents = np.zeros(len(largest))
    exponents[heard] = alpha * np.log2(largest[heard]) - (1 - alpha) * np.log2(reach[heard])
    if heard.any():
        exponents[heard] -= np.median(exponents[heard])
    return np.exp2(np.rint(exponents)).astype(np.float32)


def _error(
    rows: Array,
    exact_rows: Array,
    weights: Sequence[Array],
    exact_weights: Sequence[Array],
) -> float:
    """Squared error of all layers' answers in int8 against those of what is exact."""
    params = QuantParams.over(least_error_range(Histogram.of(rows)))
    codes = np.clip(np.rint(rows / np.float32(params.scale)) + params.zero_point, 0, LEVELS) - params.zero_point
    total = 0.0
    for weight, exact in zip(weights, exact_weights, strict=True):
        quantized = quantize_weight(weight, WEIGHT_LIMIT)
        wide = quantized.codes * quantized.scales[:, None]
        answers = (codes * np.float32(params.scale)) @ wide.T
        total += float(np.square(answers - exact_rows @ exact.T).sum())
    return total


def _seen_at(
    network: TrainedNetwork, sites: Sequence[SmoothingSite], inputs: Array
) -> Iterator[tuple[SmoothingSite, _Seen]]:
    """What the sites see, segment by segment: of the network as it was, which answers as it will."""
    x = torch.from_numpy(np.require(inputs, np.float32, ["C", "W"]))
    with torch.inference_mode():
        for segment in network.segments:
            weights = {name: Fp32Weight(torch.from_numpy(network.arrays[name])) for name in segment.weights}
            values = {INPUT: x, **Interpreter(segment, weights).values(x)}
            for site in sites:
                if site.segment == segment.name:
                    yield site, _of_rows(values[site.value])
            x = values[segment.nodes[-1].name]


def _of_rows(value: torch.Tensor) -> _Seen:
    rows = value.reshape(-1, value.shape[-1]).numpy()
    return _Seen(np.abs(rows).max(axis=0), sampled(rows, ROWS))
