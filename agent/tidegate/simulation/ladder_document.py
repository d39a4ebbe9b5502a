"""Ladders to simulate with: assumed figures in YAML, where no bundle is at hand."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tidegate.documents import load, refuse
from tidegate.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Risk
from tidegate.policy.schema.part import Name, Part
from tidegate.quantities.units import Latency, Memory, Share


class PointPart(Part):
    """One assumed operating point."""

    name: Name
    latency_p50: Latency = Field(gt=0)
    latency_p95: Latency = Field(gt=0)
    accuracy: Share
    certified: Share | None = None
    memory: Memory = 0.0

    def point(self, full: "PointPart") -> OperatingPoint:
        """The operating point. Its figures rest on no inputs and its certificate on no test: n is 0 in both."""
        figures = Figures(
            n=0,
            accuracy=self.accuracy,
            newly_wrong=None,
            disagreement=max(0.0, full.accuracy - self.accuracy),
            skip_ratio=0.0,
            flops_ratio=self.latency_p50 / full.latency_p50,
            latency_p50_ms=self.latency_p50,
            latency_p95_ms=self.latency_p95,
            weights_resident_bytes=int(self.memory),
        )
        certified = None if self.certified is None else Certificate(Risk.DISAGREEMENT, self.certified, 0.05, 0, 0)
        return OperatingPoint(self.name, "assumed", figures, certified)


class LadderDocument(Part):
    """A whole ladder document."""

    tidegate_ladder: Literal[1] = Field(description="the version of this format: `tidegate_ladder: 1`")
    name: Name
    points: Annotated[list[PointPart], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [point.name for point in self.points]
        for index, name in enumerate(names):
            if (first := names.index(name)) < index:
                raise refuse(f"points[{first}] has this name already", at=("points", index, "name"))
        return self


def load_ladder(text: str, name: str) -> Ladder:
    """The ladder in a text; `name` is the file named in messages. Raises DocumentError."""
    document = load(text, name, LadderDocument)
    return Ladder(tuple(point.point(document.points[0]) for point in document.points))
