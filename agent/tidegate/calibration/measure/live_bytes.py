"""What activations take at each operating point, counted on the report-only part."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.engines.engine import Array
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Figures

INPUTS = 64
"""Enough: the dense figure is the same for all inputs, the encoded one varies little with their zeros."""


def with_live_bytes(
    tracer: Tracer, settings: Sequence[Knobs], figures: Sequence[Figures], inputs: Array
) -> tuple[Figures, ...]:
    """The figures with the peaks of live activations over the inputs (n, *input shape)."""
    held = [tracer.held(setting, inputs) for setting in settings]
    return tuple(
        replace(
            found,
            peak_live_dense_bytes=each.peak_live_dense_bytes,
            peak_live_encoded_bytes=each.peak_live_encoded_bytes,
        )
        for found, each in zip(figures, held, strict=True)
    )
