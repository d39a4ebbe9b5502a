"""What requests may ask of the model, and how large they may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul

from tidegate.models.bundle import Bundle
from tidegate.models.graph.row_numbers import RowNumbers
from tidegate.models.ladder import Compared
from tidegate.models.task import Detector, LabelMap
from tidegate.worker.protocol.detections import BOXES, LABELS, SCORES
from tidegate.worker.protocol.texts import TEXT

MAX_SAMPLES = 64
"""Samples in one request: a bigger batch would hold up everybody else in the queue."""
MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a whole batch; a model whose single sample needs more may have that one."""
FLOAT_BYTES = 4
VALUE_BYTES = 32
"""A float64 in full is 24 characters, with its sign and exponent; the rest is comma, blanks and line breaks."""
ENVELOPE_BYTES = 64 * 1024
"""Names, id, parameters and brackets."""
ENVELOPE_ITEMS = 1024
"""Lists, objects and strings of a request beside its data."""


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output: its shape after the samples' axis, -1 for a size that differs from request to request."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """The model's input and outputs; `scale` turns raw integers into what the network was trained on.

    `labels` are the names of the output's classes, in their order. `positions` are how many of all of them the
    output has, where it labels more than the whole sample. With a `detector` boxes can be had beside the output,
    with a `reader` the text. `row_numbers` are the values that pick rows of tables, if any do.
    """

    input_name: str
    sample_shape: tuple[int, ...]
    scale: float
    output_name: str
    labels: tuple[str, ...]
    positions: int = 1
    detector: Detector | None = None
    row_numbers: RowNumbers | None = None
    reader: LabelMap | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> "Interface":
        """A bundle's."""
        taken, comparison = bundle.input, bundle.calibration.comparison
        rows = RowNumbers.of(bundle.segments[0], bundle.weight_shapes)
        positions = 1 if comparison.label_map is None else bundle.outputs // len(bundle.labels)
        reader = comparison.label_map if comparison.kind is Compared.TEXT else None
        shown = (bundle.labels, positions, comparison.detector, rows, reader)
        return cls(taken.name, taken.shape, taken.scale, "logits", *shown)

    @property
    def values(self) -> int:
        """Numbers in the model's own output for a sample."""
        return self.positions * len(self.labels) if self.detector is None else self.detector.outputs

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """All that can be asked for, the model's own output first."""
        own = OutputSpec(self.output_name, "FP32", (self.values,))
        if self.reader is not None:
            return (own, OutputSpec(LABELS, "INT64", (-1,)), OutputSpec(TEXT, "BYTES", (1,)))
        if self.detector is None:
            return (own,)
        found = (
            OutputSpec(BOXES, "FP32", (-1, 4)),
            OutputSpec(SCORES, "FP32", (-1,)),
            OutputSpec(LABELS, "INT64", (-1,)),
        )
        return (own, *found)

    @property
    def classifies(self) -> bool:
        """Whether the output has a number for each label, so that its best classes can be asked for."""
        return self.values == len(self.labels)

    @property
    def max_body_bytes(self) -> int:
        """The largest body that can be a request: a whole batch, within reason."""
        return max_body_bytes(self.sample_shape)

    @property
    def max_samples(self) -> int:
        """Samples in one request: so many that they fit into the largest body as float32."""
        return max(1, min(MAX_SAMPLES, self.max_body_bytes // (prod(self.sample_shape) * FLOAT_BYTES)))

    @property
    def max_lists(self) -> int:
        """Lists in the largest nested tensor, and some for the rest of the request."""
        lists = accumulate((self.max_samples, *self.sample_shape[:-1]), mul)
        return ENVELOPE_ITEMS + sum(int(each) for each in lists)


def max_body_bytes(sample_shape: Sequence[int]) -> int:
    """The largest body that can be a request to a model with samples of this shape."""
    sample = prod(sample_shape) * VALUE_BYTES
    return ENVELOPE_BYTES + min(MAX_SAMPLES * sample, max(MAX_BODY_BYTES, sample))
