"""Whether the parts of a bundle fit each other: segments, weights, stand-ins, exit heads and the ladder."""

from tidegate.models.bundle.bundle import Bundle
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.manifest import LADDER, WEIGHTS
from tidegate.models.errors import BundleError
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.ladder import OperatingPoint, StandIn
from tidegate.models.network import Shape, all_segments, blocks_of
from tidegate.models.task import Detector


def check_consistency(bundle: Bundle) -> None:
    """Raises BundleError for the first two parts that contradict each other."""
    _check_segments(bundle)
    _check_stand_ins_and_exits(bundle)
    _check_ladder(bundle)


def _check_segments(bundle: Bundle) -> None:
    names = [segment.name for segment in bundle.segments]
    if len(set(names)) != len(names):
        raise BundleError(f"{bundle.path}: segments share a name: {names}")
    expected = bundle.input.shape
    for segment in bundle.segments:
        if segment.input_shape != expected:
            raise BundleError(f"segment {segment.name}: takes {segment.input_shape}, what comes in is {expected}")
        expected = segment.output_shape
    _check_outputs(bundle, expected)
    used = {name for segment in all_segments(bundle) for name in segment.weights}
    if used != bundle.weight_shapes.keys():
        raise BundleError(
            f"{bundle.path / WEIGHTS}: missing or unused tensors: {sorted(used ^ bundle.weight_shapes.keys())}"
        )


def _check_outputs(bundle: Bundle, shape: Shape) -> None:
    """One number for each label; or those of boxes or of a label at each position, and a label for each class."""
    comparison, labels = bundle.calibration.comparison, len(bundle.labels)
    if len(shape) != 1:
        raise BundleError(f"{bundle.path}: output shape {shape}, an answer is a vector")
    found = comparison.detector or comparison.label_map
    if found is None:
        if shape[0] != labels:
            raise BundleError(f"{bundle.path}: output shape {shape} for {labels} labels")
        return
    if found.classes != labels:
        raise BundleError(f"{bundle.path}: {labels} labels, {LADDER} tells {found.classes} classes apart")
    fits = shape[0] == found.outputs if isinstance(found, Detector) else shape[0] % found.classes == 0
    if not fits:
        raise BundleError(f"{bundle.path}: output shape {shape} doesn't hold what {LADDER} reads from it: {found}")


def _check_stand_ins_and_exits(bundle: Bundle) -> None:
    """Stand-ins take what their block takes and give what it gives; exit heads give answers, and samples may leave
    before any segment but the first."""
    segments = {segment.name: segment for segment in bundle.segments}
    strange = bundle.stand_ins.keys() - {name for name, segment in segments.items() if not segment.fixed}
    if strange:
        raise BundleError(f"{bundle.path}: stand-ins at {sorted(strange)}, which are not segments to skip")
    first, *others = segments
    nowhere = bundle.exit_heads.keys() - set(others)
    if nowhere:
        raise BundleError(f"{bundle.path}: exits before {sorted(nowhere)}, which are not segments behind {first}")
    answer = bundle.segments[-1].output_shape
    replacements = [
        (f"{block}: its stand-in {kind}", graph, segments[block].output_shape)
        for block, kinds in bundle.stand_ins.items()
        for kind, graph in kinds.items()
    ] + [(f"{block}: its exit", head, answer) for block, head in bundle.exit_heads.items()]
    for what, graph, output in replacements:
        block = segments[what.partition(":")[0]]
        if (graph.input_shape, graph.output_shape) != (block.input_shape, output):
            raise BundleError(
                f"{what} maps {graph.input_shape} to {graph.output_shape}, needed {block.input_shape} to {output}"
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
    lost = point.activations.keys() - {
        tensor.name for segment in bundle.segments for tensor in activation_tensors_of(segment)
    }
    if lost:
        raise BundleError(f"{where}: {sorted(lost)} are not activation tensors of this model")
