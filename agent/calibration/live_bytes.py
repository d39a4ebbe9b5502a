"""What activations take at each operating point, counted on the report-only part."""

from collections.abc import Sequence
from dataclasses import replace

from agent.calibration.site_range import sampled
from agent.engines.engine import Array
from agent.engines.tracing import Tracer
from agent.models.knobs import Knobs
from agent.models.ladder import Figures
from agent.models.network import Network

INPUTS = 64
"""The dense figure is the same for all inputs; the encoded one varies with their zeros, little from here on."""


def with_live_bytes(
    network: Network, settings: Sequence[Knobs], figures: Sequence[Figures], inputs: Array
) -> tuple[Figures, ...]:
    """The figures with the peaks of live activations over some of the inputs (n, *input shape)."""
    tracer, chosen = Tracer(network), sampled(inputs, INPUTS)
    held = [tracer.held(setting, chosen) for setting in settings]
    return tuple(
        replace(
            found,
            peak_live_dense_bytes=each.peak_live_dense_bytes,
            peak_live_encoded_bytes=each.peak_live_encoded_bytes,
        )
        for found, each in zip(figures, held, strict=True)
    )
