"""A bundle from any model and the data of its user: discover, split, calibrate, write."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from tidegate.calibration.assemble.calibrate import calibrate
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.risk import mean_kl
from tidegate.calibration.data.datasets import DataError, Dataset, ImageSpec, read_data
from tidegate.calibration.data.split import Split, split_data
from tidegate.calibration.measure.energy import Meter
from tidegate.calibration.progress import Progress
from tidegate.calibration.users_code import UsersCodeError, find_function
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle.evidence import Samples, scaled
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, write_bundle
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.discovery import discover
from tidegate.models.ladder import Risk
from tidegate.models.network import TrainedNetwork

MIN_SEARCH, MAX_SEARCH, MAX_REPORT = 300, 3000, 300
SEARCH_FLOPS = 1e12
"""Of the full model over part S: where inputs are plenty, as many as this allows between the two limits."""

SEARCH_SHARE, REPORT_SHARE = 0.25, 0.15
SAMPLE_BYTES = 4 * 2**20
"""Of the report part, how much travels with the bundle."""


class BuildError(TidegateError):
    """The model or the request is not one a bundle can be built from; the message says what to change."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Request:
    """What to build from what; `model` is `package.module:factory`, `blocks` may name the only blocks."""

    model: str
    data: Path
    out: Path
    images: ImageSpec
    seed: int = 0
    blocks: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    command: str = ""


def build_bundle(request: Request, progress: Progress, meter: Meter | None = None) -> None:
    """Build, or go on with a build that was interrupted. Sets torch's seed and thread count for this process.

    What is under way is kept beside the bundle in `OUT.partial`. Without a `meter` no energy is measured. Raises
    TidegateError for what its user has to change.
    """
    torch.manual_seed(request.seed)
    model = load_model(request.model, progress)
    data = read_data(request.data, request.images)
    _check_enough(data)
    example = torch.from_numpy(scaled(data.inputs[:2], data.scale))
    _check(model, example, data, request)
    found = discover(model, example, request.blocks)
    split = split_for(data, request.seed, flops_of(found.network))
    for what, reason in found.refused:
        progress(f"no block: {what}: {reason}")
    partial = request.out.with_name(f"{request.out.name}.partial")
    calibrated = calibrate(found.network, split, data.scale, progress, request.plan, partial, meter)
    outputs = found.network.segments[-1].output_shape[0]
    shipped = max(1, SAMPLE_BYTES // split.report.inputs[0].nbytes)
    labels = split.report.labels
    contents = Contents(
        model=request.out.name,
        input=InputSpec("input", tuple(example.shape[1:]), data.scale),
        labels=_names(data, outputs),
        built=_provenance(request, split),
        network=calibrated.network,
        ladder=calibrated.ladder,
        calibration=calibrated.calibration,
        canaries=calibrated.canaries,
        samples=Samples(split.report.inputs[:shipped], None if labels is None else labels[:shipped], data.scale),
    )
    write_bundle(request.out, contents)
    for file in partial.iterdir():
        file.unlink()
    partial.rmdir()
    progress(f"wrote {request.out}")
    for reason in calibrated.short:
        progress(reason)


def _names(data: Dataset, outputs: int) -> tuple[str, ...]:
    """A label for each output: the data's classes where there are as many, else numbers from 0."""
    if data.classes is not None and len(data.classes) == outputs:
        return data.classes
    return tuple(str(index) for index in range(outputs))


def load_model(path: str, progress: Progress) -> nn.Module:
    """The model that `package.module:factory` returns, found as `find_function` finds it. Raises BuildError."""
    try:
        factory = find_function(path, Path.cwd())
        progress(f"model: {path} in {factory.file}")
        made = factory()
    except UsersCodeError as error:
        raise BuildError(f"--model {path}: {error}") from error
    if not isinstance(made, nn.Module):
        raise BuildError(f"--model {path}: returned {type(made).__name__}, needed is a torch.nn.Module")
    return made.eval()


def flops_of(network: TrainedNetwork) -> int:
    """Operations of the full model for one input."""
    return sum(segment_flops(segment, network.weight_shapes) for segment in network.segments)


def split_for(data: Dataset, seed: int, flops: int) -> Split:
    """The data cut by `split_sizes`; nothing to train. Raises DataError."""
    _check_enough(data)
    sizes = split_sizes(len(data.inputs), flops)
    return split_data(data.name, data.inputs, data.labels, (0, *sizes), seed)


def _check_enough(data: Dataset) -> None:
    n = len(data.inputs)
    if min(split_sizes(n, 1)) < 2:
        raise DataError(f"{data.name}: {n} inputs are too few to search, certify and report on; bring hundreds")


def split_sizes(n: int, flops: int) -> tuple[int, int, int]:
    """A quarter to search, a seventh to report, and the rest to certify, where every input counts.

    A model of few operations (`flops` of one input) is searched on more inputs than a large one.
    """
    most = min(max(MIN_SEARCH, int(SEARCH_FLOPS / flops)), MAX_SEARCH)
    search, report = min(most, int(n * SEARCH_SHARE)), min(MAX_REPORT, int(n * REPORT_SHARE))
    return search, n - search - report, report


def _check(model: nn.Module, example: torch.Tensor, data: Dataset, request: Request) -> None:
    try:
        with torch.no_grad():
            outputs = model(example)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise BuildError(
            f"--model {request.model}: does not take inputs {tuple(example.shape)}: {reason}"
        ) from error
    if not isinstance(outputs, torch.Tensor) or len(outputs) != len(example):
        found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        raise BuildError(f"--model {request.model}: must give one tensor (samples, ...), gave {found}")
    risk = request.plan.objective.risk
    classes = outputs[0].numel()
    if classes == 1:
        if risk.loss is mean_kl:
            raise BuildError(
                f"--model {request.model}: has one output; certify --risk threshold:0.5 (threshold:0 for logits) "
                "where it says yes or no, distance:BOUND where it is a number"
            )
        classes = 2
    if data.labels is not None and (data.labels.min() < 0 or data.labels.max() >= classes):
        raise BuildError(f"{data.name}: labels reach {data.labels.max()}, the model has {classes} outputs")
    if data.classes is not None and len(data.classes) != classes:
        raise BuildError(f"{data.name}: {len(data.classes)} folders of classes, the model has {classes} outputs")
    if data.labels is None and risk.kind is Risk.NEWLY_WRONG:
        raise BuildError(f"{data.name}: has no labels; certify --risk disagreement or distance:BOUND instead")


def _provenance(request: Request, split: Split) -> Provenance:
    parts = {name: len(part) for name, part in split.parts.items()}
    return Provenance(request.command, request.seed, split.name, parts, str(torch.__version__))
