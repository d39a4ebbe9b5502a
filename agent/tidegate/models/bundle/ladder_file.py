"""ladder.json: the ladder with what it holds for (weights, data, settings), and which of it was only measured."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from tidegate.models.bundle.strict_model import Count, Name, Sha256, Size, StrictModel
from tidegate.models.errors import BundleError
from tidegate.models.ladder import (
    Activation,
    Activity,
    Certificate,
    Compared,
    Comparison,
    Figures,
    Ladder,
    OperatingPoint,
    Precision,
    Risk,
    Span,
    StandIn,
)
from tidegate.models.task import Detector, HeadLayout, LabelMap
from tidegate.validation_words import in_words

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
ValueName = Annotated[str, Field(max_length=401)]
"""`segment/node`, or nothing for the network's input."""


def _rising(span: Span) -> Span:
    if span[0] > span[1]:
        raise ValueError("the least value comes first")
    return span


LeastAndLargest = Annotated[tuple[Finite, Finite] | tuple[Finite, Finite, NotNegative], AfterValidator(_rising)]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a ladder's certificates and figures hold for; a change in any of it makes another ladder.

    `graphs_sha256` is over all segments, stand-ins and exit heads. `parts` maps each part of the data to its
    hash. `failure` says what counts as one in a certificate, `comparison` what of that is seen without labels, and
    `search` how the chain was sought. `delta` is the chance that any of the certificates is wrong, over all alphas
    and engines together. `engines` are those that points were certified on, each with the version of its runtime.
    `measured_on` says where latencies and energies were taken: they and it alone differ when the same build runs
    twice on one machine.
    """

    weights_sha256: str
    graphs_sha256: str
    data: str
    parts: Mapping[str, str]
    failure: str
    comparison: Comparison
    search: Mapping[str, float | str]
    alphas: tuple[float, ...]
    delta: float
    seed: int
    torch: str
    measured_on: str
    engines: Mapping[str, str] = field(default_factory=dict)


class CertificateModel(StrictModel):
    """A certificate as the file has it: `alpha` and `delta` are 0..1, `n` is at least 1."""

    risk: Risk
    alpha: Share
    delta: Share
    n: Annotated[int, Field(ge=1)]
    failures: Count

    @classmethod
    def of(cls, certificate: Certificate) -> "CertificateModel":
        """For writing; where it disagreed is in the figures here."""
        return cls.model_validate({name: getattr(certificate, name) for name in cls.model_fields})


class FiguresModel(StrictModel):
    """A point's figures as the file has them: shares 0..1, times above 0, null where nothing was measured."""

    n: Annotated[int, Field(ge=1)]
    accuracy: Share | None
    newly_wrong: Share | None
    disagreement: Share
    skip_ratio: Share
    flops_ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    latency_p50_ms: Positive
    latency_p95_ms: Positive
    weights_resident_bytes: Count
    energy_mj: Positive | None
    latency_mean_ms: Positive | None = None
    peak_live_dense_bytes: Count | None = None
    peak_live_encoded_bytes: Count | None = None


class ActivationModel(StrictModel):
    """AA-ReLU at one value in the file; a clip of null is none, as JSON has no infinity."""

    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    clip: Positive | None = None
    bits: Annotated[int, Field(ge=2, le=8)] | None = None

    @classmethod
    def of(cls, activation: Activation) -> "ActivationModel":
        """A setting as the file has it; `activation` gives it back."""
        clip = None if activation.clip == math.inf else activation.clip
        return cls(threshold=activation.threshold, clip=clip, bits=activation.bits)

    def activation(self) -> Activation:
        """The setting. Raises ValueError for bits without a clip."""
        return Activation(self.threshold, math.inf if self.clip is None else self.clip, self.bits)


class PointModel(StrictModel):
    """An operating point as the file has it; its blocks and layers are checked against the bundle later."""

    name: Name
    engine: Name
    figures: FiguresModel
    certificate: CertificateModel | None
    thresholds: dict[Name, Finite]
    skip: list[Name]
    precision: Precision
    layer_precision: dict[Name, Precision]
    activations: dict[Name, ActivationModel] = Field(default_factory=dict)
    resolution: tuple[Size, Size] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)]
    stand_ins: dict[Name, StandIn] = Field(default_factory=dict)
    exits: dict[Name, Share] = Field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS
    ranges: dict[ValueName, LeastAndLargest] = Field(default_factory=dict)

    @classmethod
    def of(cls, point: OperatingPoint) -> "PointModel":
        """For writing; the skip set sorted, so that the file repeats."""
        activations = {name: ActivationModel.of(activation) for name, activation in point.activations.items()}
        certificate = None if point.certificate is None else CertificateModel.of(point.certificate)
        written = {"skip": sorted(point.skip), "activations": activations, "certificate": certificate}
        return cls.model_validate(asdict(point) | written)

    def point(self) -> OperatingPoint:
        return OperatingPoint(
            name=self.name,
            engine=self.engine,
            figures=Figures(**self.figures.model_dump()),
            certificate=None if self.certificate is None else Certificate(**self.certificate.model_dump()),
            thresholds=self.thresholds,
            skip=frozenset(self.skip),
            precision=self.precision,
            layer_precision=self.layer_precision,
            activations={name: model.activation() for name, model in self.activations.items()},
            resolution=self.resolution,
            threads=self.threads,
            stand_ins=self.stand_ins,
            exits=self.exits,
            activity=self.activity,
            ranges=self.ranges,
        )


class DetectorModel(StrictModel):
    """`Detector` as the file has it."""

    layout: HeadLayout
    classes: Annotated[int, Field(ge=1, le=100_000)]
    candidates: Annotated[int, Field(ge=1, le=10_000_000)]
    input_size: tuple[Size, Size]
    score: Share
    overlap: Share
    sure: Share
    anchors: tuple[tuple[Positive, Positive], ...] = ()

    def detector(self) -> Detector:
        """The detector. Raises ValueError for thresholds that contradict each other."""
        return Detector(**self.model_dump())


class LabelMapModel(StrictModel):
    """`LabelMap` as the file has it."""

    classes: Annotated[int, Field(ge=1, le=100_000)]
    classes_first: bool
    threshold: Finite | None = None
    blank: Annotated[int, Field(ge=0)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_it_has_not(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Maps without a blank are read by earlier releases too."""
        written: dict[str, object] = write(self)
        return {key: value for key, value in written.items() if value is not None or key != "blank"}


class ComparisonModel(StrictModel):
    """`Comparison` as the file has it."""

    kind: Compared
    bound: Finite | None = None
    detector: DetectorModel | None = None
    label_map: LabelMapModel | None = None

    def comparison(self) -> Comparison:
        """The comparison. Raises ValueError for a kind without what it needs."""
        detector = None if self.detector is None else self.detector.detector()
        label_map = None if self.label_map is None else LabelMap(**self.label_map.model_dump())
        return Comparison(self.kind, self.bound, detector, label_map)

    @model_serializer(mode="wrap")
    def _without_what_its_kind_has_not(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """So that earlier releases, which refuse unknown keys, go on reading the kinds that they know."""
        written: dict[str, object] = write(self)
        return {key: value for key, value in written.items() if value is not None or key in {"kind", "bound"}}


class CalibrationModel(StrictModel):
    """`Calibration` as the file has it."""

    weights_sha256: Sha256
    graphs_sha256: Sha256
    data: str
    parts: dict[Name, Sha256]
    failure: str
    comparison: ComparisonModel
    search: dict[Name, float | str]
    alphas: list[Share]
    delta: Annotated[float, Field(gt=0, lt=1)]
    seed: int
    torch: str
    measured_on: str
    engines: dict[Name, str] = Field(default_factory=dict)

    def calibration(self) -> Calibration:
        plain = self.model_dump(exclude={"alphas", "comparison"})
        return Calibration(**plain, alphas=tuple(self.alphas), comparison=self.comparison.comparison())


class LadderModel(StrictModel):
    """The file. Its first point is the full net; certificates keep to the alphas and delta of `calibration`."""

    calibration: CalibrationModel
    points: Annotated[list[PointModel], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _full_is_full(self) -> Self:
        full = self.points[0]
        gated = full.thresholds or full.skip or full.exits
        changed = gated or full.layer_precision or full.activations or full.resolution
        if changed or full.precision is not Precision.FP32:
            raise ValueError(f"the first point, {full.name}, must be the full net in fp32 with nothing skipped")
        return self

    @model_validator(mode="after")
    def _certificates_belong(self) -> Self:
        allowed = {0.0, *self.calibration.alphas}
        for index, point in enumerate(self.points):
            certificate = point.certificate
            if certificate is None:
                continue
            if certificate.alpha not in allowed or (certificate.alpha == 0) != (index == 0):
                raise ValueError(
                    f"{point.name}: certified at {certificate.alpha}; allowed are 0 for the first point alone, "
                    f"and {self.calibration.alphas} for the others"
                )
            if certificate.delta != self.calibration.delta:
                raise ValueError(
                    f"{point.name}: delta {certificate.delta} is not the ladder's {self.calibration.delta}"
                )
        return self


def read_ladder(text: bytes) -> tuple[Ladder, Calibration]:
    """The ladder in a file's text and what it holds for. Raises BundleError naming the field that is wrong."""
    try:
        model = LadderModel.model_validate_json(text)
        ladder = Ladder(tuple(point.point() for point in model.points))
        calibration = model.calibration.calibration()
    except ValidationError as error:
        raise BundleError(f"ladder.json: {describe(error)}") from error
    except ValueError as error:
        raise BundleError(f"ladder.json: {error}") from error
    return ladder, calibration


def write_ladder(ladder: Ladder, calibration: Calibration) -> bytes:
    """A file's text; the same ladder gives the same bytes."""
    model = LadderModel(
        calibration=CalibrationModel.model_validate(asdict(calibration)),
        points=[PointModel.of(point) for point in ladder.points],
    )
    return model.model_dump_json(indent=1).encode() + b"\n"


def describe(error: ValidationError) -> str:
    """The first thing wrong, with its place, and how many more there are."""
    first, *more = error.errors(include_url=False)
    place = ".".join(str(part) for part in first["loc"]) or "the whole document"
    found = repr(first["input"])
    rest = f" (and {len(more)} more)" if more else ""
    return f"at {place}: {in_words(first['msg'])}, found {found if len(found) < 80 else found[:80] + '...'}{rest}"
