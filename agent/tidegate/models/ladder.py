"""The ladder: a model's operating points, from full to cheapest, as plain data. No torch, no I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.models.task import Detector, LabelMap, Task

Span = tuple[float, float] | tuple[float, float, float]
"""The least and the largest value seen, and what rounding to their grid costs (`Range.error` of the plan)."""

Ranges = Mapping[str, Span]
"""By the name of what was seen."""


class Precision(StrEnum):
    """How a layer's weights are kept and computed with."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"


@dataclass(frozen=True, slots=True)
class Activation:
    """AA-ReLU of the AdaptiveActivation paper (arXiv:2309.01824) at one activation tensor, in our reconstruction.

    Q_bits(clip(x * 1[|x| >= threshold], -clip, clip)): values below `threshold` become 0 (T as sparsity), values
    beyond `clip` become it (T as range), and what is left is rounded to `bits` bits. The defaults change nothing.
    """

    threshold: float = 0.0
    clip: float = math.inf
    bits: int | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.threshold < math.inf and self.clip > 0):
            raise ValueError(f"threshold {self.threshold} must be in 0..inf, clip {self.clip} above 0")
        if self.bits is not None and not (2 <= self.bits <= 8 and self.clip < math.inf):
            raise ValueError(
                f"{self.bits} bits with clip {self.clip}: allowed are 2 to 8 bits within a finite clip"
            )


class Risk(StrEnum):
    """What a certificate bounds."""

    NEWLY_WRONG = "newly_wrong"
    DISAGREEMENT = "disagreement"


class Compared(StrEnum):
    """What of two answers to one input is held against each other."""

    BEST_CLASS = "best_class"
    THRESHOLD = "threshold"
    COSINE = "cosine"
    DISTANCE = "distance"
    BOXES = "boxes"
    PIXELS = "pixels"
    WINDOWS = "windows"
    TEXT = "text"
    OWN = "own"


TASKS = {
    Compared.BEST_CLASS: Task.CLASSIFY,
    Compared.THRESHOLD: Task.CLASSIFY,
    Compared.COSINE: Task.EMBED,
    Compared.DISTANCE: Task.REGRESS,
    Compared.BOXES: Task.DETECT,
    Compared.PIXELS: Task.SEGMENT,
    Compared.WINDOWS: Task.KEYWORD,
    Compared.TEXT: Task.TEXT,
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """When an answer counts as another one than the full model's; `tidegate.models.comparing` carries it out.

    Another best class, the other side of `bound`, a cosine or Euclidean distance above it, an object of a
    `detector` without its counterpart at an IoU of at least the bound, other labels in a larger share of a
    `label_map` than the bound, more edits to the text read from one, as a share of its labels, or what a function
    of the user's own says, which is not part of a bundle.
    """

    kind: Compared = Compared.BEST_CLASS
    bound: float | None = None
    detector: Detector | None = None
    label_map: LabelMap | None = None

    def __post_init__(self) -> None:
        if (self.bound is None) != (self.kind in {Compared.BEST_CLASS, Compared.OWN}):
            raise ValueError(
                f"comparison by {self.kind} with bound {self.bound}: needed for all but best_class and own"
            )
        if (self.detector is None) == (self.kind is Compared.BOXES):
            raise ValueError(f"comparison by {self.kind} and detector {self.detector}: one belongs to boxes alone")
        if (self.label_map is None) == (self.kind in {Compared.PIXELS, Compared.WINDOWS, Compared.TEXT}):
            raise ValueError(
                f"comparison by {self.kind} and label map {self.label_map}: belongs to pixels, windows and text"
            )
        if self.label_map is not None and (self.label_map.blank is None) == (self.kind is Compared.TEXT):
            raise ValueError(f"comparison by {self.kind} and blank {self.label_map.blank}: belongs to text alone")

    @property
    def task(self) -> Task | None:
        """What the answers are; None where only the user's own function knows."""
        return TASKS.get(self.kind)


class StandIn(StrEnum):
    """What runs in the place of a skipped block."""

    IDENTITY = "identity"
    AFFINE = "affine"
    SURROGATE = "surrogate"
    SHORTCUT = "shortcut"


class Activity(StrEnum):
    """What a threshold is held against; `tidegate.models.gates.activity` has the formulas."""

    MEAN_ABS = "mean_abs"
    RMS = "rms"
    MAX = "max"
    SPARSITY = "sparsity"
    BLOCK_CHANGE = "block_change"
    FRAME_CHANGE = "frame_change"

    @property
    def looks_back(self) -> bool:
        """Whether it compares a block's input with another value."""
        return self in {Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE}


@dataclass(frozen=True, slots=True)
class Certificate:
    """`risk` <= `alpha` with confidence 1 - `delta`, by an exact test with `failures` in `n` held-out inputs.

    `disagreed` of them had an answer apart from the full model's; None where a bundle's figures say that.
    """

    risk: Risk
    alpha: float
    delta: float
    n: int
    failures: int
    disagreed: int | None = None

    def harmless(self, figures: "Figures") -> float:
        """The share of inputs on which a point may differ without being newly wrong, as it was counted."""
        if self.risk is not Risk.NEWLY_WRONG:
            return 0.0
        if self.disagreed is not None:
            return max(0, self.disagreed - self.failures) / self.n
        return 0.0 if figures.newly_wrong is None else max(0.0, figures.disagreement - figures.newly_wrong)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured for one operating point; shares are 0..1 on `n` report-only inputs. None: not measured.

    `peak_live_*` are stored activations alive at once for one input, the largest over the inputs, with every gate
    open and nobody leaving early: dense at their bits, and each as bitmap and non-zeros where that is smaller.
    """

    n: int
    accuracy: float | None
    newly_wrong: float | None
    disagreement: float
    skip_ratio: float
    flops_ratio: float
    latency_p50_ms: float
    latency_p95_ms: float
    weights_resident_bytes: int
    energy_mj: float | None = None
    latency_mean_ms: float | None = None
    peak_live_dense_bytes: int | None = None
    peak_live_encoded_bytes: int | None = None

    @property
    def busy_ms(self) -> float:
        """Time of an answer on average: the mean where measured (exits make answers differ), else p50."""
        return self.latency_p50_ms if self.latency_mean_ms is None else self.latency_mean_ms


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One full setting of all knobs.

    A block in `skip` never runs; one in `thresholds` runs when its activity exceeds tau; the others always
    run. Where a block does not run, `stand_ins` says what does (identity for blocks not named). `exits` names
    blocks before which a sample leaves with its answer once the margin between the two best exceeds the value.
    `precision` is the default, `layer_precision` overrides it per layer. `activations` holds AA-ReLU by stored
    value (`segment.node`). Images are resized to `resolution` (height, width) before anything runs; None leaves
    them as they come. `ranges` holds the least and the largest value of what an engine may keep in 8 bits, by
    `segment/node`, and by "" that of the network's input.
    """

    name: str
    engine: str
    figures: Figures
    certificate: Certificate | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    precision: Precision = Precision.FP32
    layer_precision: Mapping[str, Precision] = field(default_factory=dict)
    activations: Mapping[str, Activation] = field(default_factory=dict)
    resolution: tuple[int, int] | None = None
    threads: int = 1
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    exits: Mapping[str, float] = field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS
    ranges: Ranges = field(default_factory=dict)

    @property
    def certified_risk(self) -> float | None:
        """The certified bound on the loss, 0 for the full point's own certificate; None when not certified."""
        return None if self.certificate is None else self.certificate.alpha


@dataclass(frozen=True, slots=True)
class Ladder:
    """Operating points from full (first) to cheapest (last); never empty, names unique.

    The full point loses nothing against itself, so its certificate has alpha 0.
    """

    points: tuple[OperatingPoint, ...]

    def __post_init__(self) -> None:
        names = [point.name for point in self.points]
        if not names:
            raise ValueError("a ladder has at least the full point")
        if len(set(names)) != len(names):
            raise ValueError(f"operating points share a name: {sorted(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of all points, full first."""
        return tuple(point.name for point in self.points)

    @property
    def full(self) -> OperatingPoint:
        """The point all others are compared with."""
        return self.points[0]

    @property
    def cheapest(self) -> OperatingPoint:
        """The point that costs least, and loses most."""
        return self.points[-1]

    def rung(self, name: str) -> int:
        """The index of a point, 0 being full. Raises KeyError for a name that is not on the ladder."""
        for index, point in enumerate(self.points):
            if point.name == name:
                return index
        raise KeyError(name)
