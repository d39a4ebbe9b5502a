"""Opening a bundle: a directory of plain data, believed only as far as its hashes, shapes and limits hold.

Nothing in a bundle is code and nothing is unpickled. No torch and no numpy here: the supervisor opens bundles
too, and its memory is the device's.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tidegate.models.bundle_directory import check_files, manifest_text
from tidegate.models.bundle_file import (
    CANARIES,
    LADDER,
    MANIFEST,
    SAMPLES,
    WEIGHTS,
    InputSpec,
    ManifestModel,
    Provenance,
)
from tidegate.models.errors import BundleError
from tidegate.models.graph import Segment
from tidegate.models.graph_file import graphs_sha256
from tidegate.models.ladder import Ladder, OperatingPoint, StandIn
from tidegate.models.ladder_file import Calibration, describe, read_ladder
from tidegate.models.network import Shape, StandIns, WeightArray, all_segments, blocks_of
from tidegate.models.safetensors_header import tensors_in
from tidegate.models.sites import sites_of

if TYPE_CHECKING:
    from tidegate.models.evidence import Canaries, Samples

MAX_BUNDLE_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model with its ladder, checked when it was opened; tensors are read when asked for, and checked again."""

    path: Path
    sha256: str
    model: str
    input: InputSpec
    labels: tuple[str, ...]
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

    # Tensors are read by another module, imported when asked for: it needs numpy, which the supervisor,
    # who asks for none, would pay for with a quarter of its memory.

    def weights(self, names: Iterable[str]) -> "Mapping[str, WeightArray]":
        """The named fp32 master weights, read-only. Raises BundleError when the file has changed since."""
        from tidegate.models import bundle_tensors  # noqa: PLC0415 - see above

        return bundle_tensors.read_weights(*self._file(WEIGHTS), names)

    def canaries(self) -> "Canaries":
        """Inputs with their expected answers. Raises BundleError when they don't fit the model."""
        from tidegate.models import bundle_tensors  # noqa: PLC0415 - see above

        points = [point.name for point in self.ladder.points]
        return bundle_tensors.read_canaries(*self._file(CANARIES), self.input.shape, len(self.labels), points)

    def samples(self) -> "Samples":
        """The report-only inputs with labels. Raises BundleError when they don't fit the model."""
        from tidegate.models import bundle_tensors  # noqa: PLC0415 - see above

        return bundle_tensors.read_samples(*self._file(SAMPLES), self.input)

    def _file(self, name: str) -> tuple[Path, str]:
        """A file of the bundle, with the hash that it had when the bundle was opened."""
        return self.path / name, self.hashes[name]


def open_bundle(path: Path, max_bytes: int = MAX_BUNDLE_BYTES) -> Bundle:
    """Read and check a bundle directory. Raises BundleError saying what is wrong and where.

    Checked: the set of files, their sizes and hashes, the graphs against the operator allowlist and the weights,
    and the ladder against the blocks and layers. Not checked: who made it.
    """
    text = manifest_text(path)
    try:
        manifest = ManifestModel.model_validate_json(text)
    except ValidationError as error:
        raise BundleError(f"{path / MANIFEST}: {describe(error)}") from error
    check_files(path, manifest, max_bytes)
    ladder, calibration = read_ladder((path / LADDER).read_bytes())
    bundle = Bundle(
        path=path.absolute(),
        sha256=hashlib.sha256(text).hexdigest(),
        model=manifest.model,
        input=InputSpec(manifest.input.name, manifest.input.shape, manifest.input.scale),
        labels=tuple(manifest.labels),
        built=Provenance(**manifest.built.model_dump()),
        segments=tuple(segment.segment() for segment in manifest.segments),
        stand_ins={
            block: {kind: segment.segment() for kind, segment in kinds.items()}
            for block, kinds in manifest.stand_ins.items()
        },
        exit_heads={block: head.segment() for block, head in manifest.exit_heads.items()},
        weight_shapes=_weight_shapes(path / WEIGHTS),
        ladder=ladder,
        calibration=calibration,
        hashes={name: file.sha256 for name, file in manifest.files.items()},
    )
    _check_segments(bundle)
    _check_ways_round(bundle)
    _check_ladder(bundle)
    return bundle


def _weight_shapes(path: Path) -> dict[str, Shape]:
    shapes = {}
    for name, tensor in tensors_in(path).items():
        if tensor.dtype != "F32":
            raise BundleError(f"{path}: {name} is {tensor.dtype}, master weights are F32")
        shapes[name] = tensor.shape
    return shapes


def _check_segments(bundle: Bundle) -> None:
    names = [segment.name for segment in bundle.segments]
    if len(set(names)) != len(names):
        raise BundleError(f"{bundle.path}: segments share a name: {names}")
    expected = bundle.input.shape
    for segment in bundle.segments:
        if segment.input_shape != expected:
            raise BundleError(f"segment {segment.name}: takes {segment.input_shape}, what comes in is {expected}")
        expected = segment.output_shape
    if expected != (len(bundle.labels),):
        raise BundleError(f"{bundle.path}: output shape {expected} for {len(bundle.labels)} labels")
    used = {name for segment in all_segments(bundle) for name in segment.weights}
    if used != bundle.weight_shapes.keys():
        raise BundleError(
            f"{bundle.path / WEIGHTS}: missing or unused tensors: {sorted(used ^ bundle.weight_shapes.keys())}"
        )


def _check_ways_round(bundle: Bundle) -> None:
    """Stand-ins take what their block takes and give what it gives; exit heads give answers."""
    segments = {segment.name: segment for segment in bundle.segments if not segment.fixed}
    strange = (bundle.stand_ins.keys() | bundle.exit_heads.keys()) - segments.keys()
    if strange:
        raise BundleError(
            f"{bundle.path}: stand-ins or exits at {sorted(strange)}, which are not segments to skip"
        )
    answer = bundle.segments[-1].output_shape
    ways = [
        (f"{block}: its stand-in {kind}", way, segments[block].output_shape)
        for block, kinds in bundle.stand_ins.items()
        for kind, way in kinds.items()
    ] + [(f"{block}: its exit", head, answer) for block, head in bundle.exit_heads.items()]
    for what, way, output in ways:
        block = segments[what.partition(":")[0]]
        if (way.input_shape, way.output_shape) != (block.input_shape, output):
            raise BundleError(
                f"{what} maps {way.input_shape} to {way.output_shape}, needed is {block.input_shape} to {output}"
            )
    identities = [block for block, kinds in bundle.stand_ins.items() if StandIn.IDENTITY in kinds]
    if identities:
        raise BundleError(f"{bundle.path}: identity needs no graph, {identities} bring one")


def _check_ladder(bundle: Bundle) -> None:
    if bundle.calibration.weights_sha256 != bundle.hashes[WEIGHTS]:
        raise BundleError(
            f"{bundle.path / LADDER}: was made for other weights ({bundle.calibration.weights_sha256})"
        )
    graphs = graphs_sha256(bundle)
    if bundle.calibration.graphs_sha256 != graphs:
        raise BundleError(
            f"{bundle.path / LADDER}: was made for other graphs ({bundle.calibration.graphs_sha256}, not {graphs})"
        )
    layers = {layer for segment in all_segments(bundle) for layer in segment.layers}
    for point in bundle.ladder.points:
        _check_point(bundle, point, layers)


def _check_point(bundle: Bundle, point: OperatingPoint, layers: set[str]) -> None:
    where = f"{bundle.path / LADDER}: point {point.name}"
    unknown = (point.skip | point.thresholds.keys() | point.stand_ins.keys()) - set(bundle.blocks)
    if unknown:
        raise BundleError(f"{where}: {sorted(unknown)} are not blocks; blocks are {', '.join(bundle.blocks)}")
    both = point.skip & point.thresholds.keys()
    if both:
        raise BundleError(f"{where}: {sorted(both)} are both skipped and gated")
    headless = point.exits.keys() - bundle.exit_heads.keys()
    if headless:
        raise BundleError(f"{where}: {sorted(headless)} have no exit in this bundle")
    for block in blocks_of(bundle):
        kind = point.stand_ins.get(block.name, StandIn.IDENTITY)
        known = {*bundle.stand_ins.get(block.name, ()), *([StandIn.IDENTITY] if block.skippable else ())}
        used = block.name in point.skip or block.name in point.thresholds or block.name in point.stand_ins
        if used and kind not in known:
            raise BundleError(f"{where}: {block.name} has no stand-in {kind}")
    strange = point.layer_precision.keys() - layers
    if strange:
        raise BundleError(f"{where}: {sorted(strange)} are not layers of this model")
    lost = point.activations.keys() - {site.name for segment in bundle.segments for site in sites_of(segment)}
    if lost:
        raise BundleError(f"{where}: {sorted(lost)} are not stored values of this model")
