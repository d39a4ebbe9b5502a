"""A bundle that was opened. No numpy here: the supervisor opens bundles too, and its memory is the device's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.bundle.manifest import CANARIES, SAMPLES, WEIGHTS, InputSpec, Provenance
from tidegate.models.graph import Segment
from tidegate.models.ladder import Ladder
from tidegate.models.network import Shape, StandIns, WeightArray, blocks_of
from tidegate.models.task import Task

if TYPE_CHECKING:
    from tidegate.models.bundle.evidence import Canaries, Samples


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model with its ladder, checked when it was opened; tensors are read when asked for, and checked again."""

    path: Path
    sha256: str
    model: str
    input: InputSpec
    labels: tuple[str, ...]
    """Names of an answer's numbers, or of the classes of what is found."""
    built: Provenance
    segments: tuple[Segment, ...]
    stand_ins: StandIns
    exit_heads: Mapping[str, Segment]
    weight_shapes: Mapping[str, Shape]
    ladder: Ladder
    calibration: Calibration
    hashes: Mapping[str, str]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the skippable segments, in order."""
        return tuple(segment.name for segment in blocks_of(self))

    @property
    def outputs(self) -> int:
        """Numbers in one answer."""
        return self.segments[-1].output_shape[0]

    @property
    def task(self) -> Task | None:
        """What an answer is; None where only a function of its builder's own knew."""
        return self.calibration.comparison.task

    # Tensors are read by another module, imported when asked for: it needs numpy, which the supervisor,
    # who asks for none, would pay for with a quarter of its memory.

    def weights(self, names: Iterable[str]) -> "Mapping[str, WeightArray]":
        """The named fp32 master weights, read-only. Raises BundleError when the file has changed since."""
        from tidegate.models.bundle import tensors  # noqa: PLC0415 - see above

        return tensors.read_weights(*self._file(WEIGHTS), names)

    def canaries(self) -> "Canaries":
        """Inputs with their expected answers. Raises BundleError when they don't fit the model."""
        from tidegate.models.bundle import tensors  # noqa: PLC0415 - see above

        points = [point.name for point in self.ladder.points]
        comparison = self.calibration.comparison
        return tensors.read_canaries(*self._file(CANARIES), self.input.shape, self.outputs, points, comparison)

    def samples(self) -> "Samples":
        """The report-only inputs with labels. Raises BundleError when they don't fit the model."""
        from tidegate.models.bundle import tensors  # noqa: PLC0415 - see above

        return tensors.read_samples(*self._file(SAMPLES), self.input)

    def _file(self, name: str) -> tuple[Path, str]:
        """A file of the bundle, with the hash that it had when the bundle was opened."""
        return self.path / name, self.hashes[name]
