"""What an engine is: it turns an operating point into a variant that answers; variants are never mutated."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.models.ladder import OperatingPoint

REFERENCE = "eager"
"""The engine whose arithmetic every other one has too: a point that names it runs on any."""

Array = npt.NDArray[np.float32]


class Answer(NamedTuple):
    """Outputs of one batch (first axis: samples) and how many skippable blocks ran or were skipped over it.

    `engine` is who gave it, where there is a choice of several. A tuple, as a frozen dataclass sets field by
    field: that is felt where an answer finds the caches cold.
    """

    outputs: Array
    executed_blocks: int
    skipped_blocks: int
    engine: str | None = None

    @property
    def skip_ratio(self) -> float:
        """Skipped share of samples x skippable blocks; 0 for a net without skippable blocks."""
        total = self.executed_blocks + self.skipped_blocks
        return self.skipped_blocks / total if total else 0.0


class Variant(Protocol):
    """A model ready to answer at one operating point. Safe to run from one thread at a time."""

    @property
    def point(self) -> OperatingPoint: ...

    @property
    def weights_resident_bytes(self) -> int:
        """Bytes of weights this variant keeps in memory, shared ones included."""

    def run(self, batch: Array) -> Answer:
        """Answer a batch of shape (samples, *input shape), float32."""

    def release(self) -> None:
        """Give memory back; the variant must not be run after that."""


class Engine(Protocol):
    """Prepares variants, in any thread, while another variant is answering."""

    @property
    def name(self) -> str: ...

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint, in no time, for a point that `prepare` would refuse."""

    def prepare(self, point: OperatingPoint) -> Variant:
        """Build the variant of a point. Raises UnsupportedPoint when this engine can't run it."""


class UnsupportedPoint(TidegateError):  # noqa: N818 - reads as what it is at the call site
    """The engine has no way to run the operating point; the message names the knob."""

    exit_code = EX_UNAVAILABLE
