"""Figures of operating points on the report-only part V: shares, costs, and latency at batch 1."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.calibration.certify.risk import RiskMeasure
from tidegate.calibration.data.batches import answer_all
from tidegate.calibration.measure.latency import measure_latency
from tidegate.engines.engine import Array, Variant
from tidegate.models.bundle.evidence import Truth
from tidegate.models.ladder import Figures


@dataclass(frozen=True, slots=True)
class PreparedPoint:
    """A point ready to answer, and its share of the full model's operations, which are counted elsewhere."""

    variant: Variant
    flops_ratio: float


def measure_figures(
    prepared: Sequence[PreparedPoint],
    inputs: Array,
    labels: Truth | None,
    risk: RiskMeasure,
) -> tuple[Figures, ...]:
    """Figures of each point against the first, which is the full model. Without labels accuracy and newly wrong
    are None."""
    latencies = measure_latency([point.variant for point in prepared], inputs)
    reference = answer_all(prepared[0].variant, inputs).outputs
    figures = []
    for point, latency in zip(prepared, latencies, strict=True):
        answer = answer_all(point.variant, inputs)
        wrong = risk.newly_wrong(reference, answer.outputs, labels)
        figures.append(
            Figures(
                n=len(inputs),
                accuracy=risk.accuracy(answer.outputs, labels),
                newly_wrong=None if wrong is None else float(wrong.mean()),
                disagreement=float(risk.differ(reference, answer.outputs).mean()),
                skip_ratio=answer.skip_ratio,
                flops_ratio=point.flops_ratio,
                latency_p50_ms=latency.p50_ms,
                latency_p95_ms=latency.p95_ms,
                weights_resident_bytes=point.variant.weights_resident_bytes,
                latency_mean_ms=latency.mean_ms,
            )
        )
    return tuple(figures)
