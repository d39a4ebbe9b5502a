"""A bundle from any model and the data of its user: discover, split, calibrate, write."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tidegate.calibration.assemble.calibrate import calibrate
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.certify.risk import RiskMeasure, mean_kl
from tidegate.calibration.certify.task_risk import TaskOptions
from tidegate.calibration.data.datasets import DataError, Dataset, ImageSpec, read_data
from tidegate.calibration.data.split import Split, split_data
from tidegate.calibration.measure.energy import Meter
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.trials import Workers
from tidegate.calibration.sources import ModelSource, check_name, module_source, open_model
from tidegate.calibration.sources.agreement import check_agreement
from tidegate.engines.engine import Array
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle.evidence import Samples, scaled
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, write_bundle
from tidegate.models.graph.flops import segment_flops
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.one_output import a_copy, with_one_output
from tidegate.models.ladder import Comparison, Risk
from tidegate.models.network import TrainedNetwork
from tidegate.models.reading import with_blank
from tidegate.models.task import Task

MIN_SEARCH, MAX_SEARCH, MAX_REPORT = 300, 3000, 300
SEARCH_FLOPS = 1e12
"""Of the full model over part S: where inputs are plenty, as many as this allows between the two limits."""

SEARCH_SHARE, REPORT_SHARE = 0.25, 0.15
ENOUGH_TO_CERTIFY = 2500
"""Beyond these S gains more by an input: of 3,700 the test of 1.5 % allows 1.05 % to fail, of 2,500 still 0.96 %,
while exits fitted on twice the inputs let half as many samples again leave within the same loss."""

COMPARED = 8
"""Inputs on which the graph is compared with the model."""

SAMPLE_BYTES = 4 * 2**20
"""Of the report part, how much travels with the bundle."""


class BuildError(TidegateError):
    """The model or the request is not one a bundle can be built from; the message says what to change."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class Request:
    """What to build from what: a `model`, or what names one for `open_model`; `data`, or where they lie.

    `blocks` may name the only blocks. `output` names one of the model's outputs where it has several. A `task`
    names the risk, in the place of the plan's. `fixed` gives inputs of an ONNX file one number for good.
    """

    model: str | nn.Module
    data: Path | Dataset
    out: Path
    images: ImageSpec = field(default_factory=lambda: ImageSpec(224))
    seed: int = 0
    blocks: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)
    command: str = ""
    output: str | None = None
    task: TaskOptions | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)


def build_bundle(
    request: Request, progress: Progress, meter: Meter | None = None, workers: Workers | None = None
) -> None:
    """Build, or go on with a build that was interrupted. Sets torch's seed and thread count for this process.

    What is under way is kept beside the bundle in `OUT.partial`. Without a `meter` no energy is measured; moves
    are tried by the `workers`, if there are any. Raises TidegateError for what its user has to change.
    """
    torch.manual_seed(request.seed)
    given = request.model
    if not isinstance(given, nn.Module):
        check_name(given)
    data = request.data if isinstance(request.data, Dataset) else read_data(request.data, request.images)
    _check_enough(data)
    if isinstance(given, nn.Module):
        source = module_source(given)
    else:
        source = open_model(given, progress, request.fixed, data.parts)
    example = _typed(source, data)
    model = _answering(source, example, request, progress)
    risk = _check(model, source.text, example, data, request)
    plan = for_risk(request.plan, risk)
    if left := request.plan.knobs - plan.knobs:
        progress(f"not turned, since answers are no classes of a whole input: {', '.join(sorted(left))}")
    found = discover(model, example, request.blocks)
    _check_graph(found.network, source, model, example, data, request, progress)
    split = split_for(data, request.seed, flops_of(found.network))
    for what, reason in found.refused:
        progress(f"no block: {what}: {reason}")
    partial = request.out.with_name(f"{request.out.name}.partial")
    calibrated = calibrate(found.network, split, data.scale, progress, plan, partial, meter, workers)
    outputs = found.network.segments[-1].output_shape[0]
    shipped = max(1, SAMPLE_BYTES // split.report.inputs[0].nbytes)
    labels = split.report.labels
    contents = Contents(
        model=request.out.name,
        input=InputSpec("input", tuple(example.shape[1:]), data.scale),
        labels=_names(data, source, request.task, risk.comparison, outputs),
        built=_provenance(request, split),
        network=calibrated.network,
        ladder=calibrated.ladder,
        calibration=calibrated.calibration,
        canaries=calibrated.canaries,
        samples=Samples(
            split.report.inputs[:shipped],
            None if labels is None else labels[:shipped],
            data.scale,
        ),
    )
    write_bundle(request.out, contents)
    for file in partial.iterdir():
        file.unlink()
    partial.rmdir()
    progress(f"wrote {request.out}")
    for reason in calibrated.short:
        progress(reason)


def _typed(source: ModelSource, data: Dataset) -> torch.Tensor:
    """Two inputs, of whole numbers where the model takes those and the data are such. Raises BuildError."""
    example = torch.from_numpy(scaled(data.inputs[:2], data.scale))
    if source.whole and not data.whole:
        raise BuildError(
            f"--model {source.text}: takes whole numbers, {data.name} holds {data.inputs.dtype}; save `inputs` as "
            "int64"
        )
    return example.long() if data.whole and source.whole is not False else example


def for_risk(plan: Plan, risk: RiskMeasure) -> Plan:
    """The plan for another risk. Where an answer is no class, nobody can leave early by the margin of its classes.

    Boxes and labels of pixels lie on a grid of the input's size: at another resolution there would be others.
    """
    objective = replace(plan.objective, risk=risk)
    if risk.comparison.detector is None and risk.comparison.label_map is None:
        return replace(plan, objective=objective)
    return replace(plan, objective=objective, knobs=plan.knobs - {Knob.EXITS, Knob.RESOLUTION})


def _names(
    data: Dataset, source: ModelSource, task: TaskOptions | None, comparison: Comparison, outputs: int
) -> tuple[str, ...]:
    """A label per class or output: as named, as the data's or the model's classes are, else numbers from 0."""
    found = comparison.detector or comparison.label_map
    if found is not None:
        outputs = found.classes
    if comparison.label_map is not None and comparison.label_map.blank is not None:
        given = task.classes if task is not None and task.classes else source.classes
        named = with_blank(given, outputs, comparison.label_map.blank)
        return named or tuple(str(index) for index in range(outputs))
    if task is not None and len(task.classes) == outputs:
        return task.classes
    if data.classes is not None and len(data.classes) == outputs:
        return data.classes
    if len(source.classes) == outputs:
        return source.classes
    return tuple(str(index) for index in range(outputs))


def flops_of(network: TrainedNetwork) -> int:
    """Operations of the full model for one input."""
    return sum(segment_flops(segment, network.weight_shapes) for segment in network.segments)


def split_for(data: Dataset, seed: int, flops: int) -> Split:
    """The data cut by `split_sizes`; nothing to train. Raises DataError."""
    _check_enough(data)
    sizes = split_sizes(len(data.inputs), flops)
    return split_data(data.name, data.inputs, data.labels, (0, *sizes), seed, data.objects)


def _check_enough(data: Dataset) -> None:
    n = len(data.inputs)
    if min(split_sizes(n, 1)) < 2:
        raise DataError(f"{data.name}: {n} inputs are too few to search, certify and report on; bring hundreds")


def split_sizes(n: int, flops: int) -> tuple[int, int, int]:
    """A quarter to search, a seventh to report, and the rest to certify; of much data more is searched on.

    A model of few operations (`flops` of one input) is searched on more inputs than a large one.
    """
    most = min(max(MIN_SEARCH, int(SEARCH_FLOPS / flops)), MAX_SEARCH)
    report = min(MAX_REPORT, int(n * REPORT_SHARE))
    search = min(most, max(int(n * SEARCH_SHARE), n - report - ENOUGH_TO_CERTIFY))
    return search, n - search - report, report


def _answering(source: ModelSource, example: torch.Tensor, request: Request, progress: Progress) -> nn.Module:
    """The model with one output, tried once."""
    module = source.module(tuple(example.shape[1:]), request.output)
    # Of an ONNX file it was chosen while it was read.
    wanted = None if source.answers is not None else request.output
    try:
        model, chosen = with_one_output(module, example, wanted)
    except TidegateError:
        raise
    # It is the user's own code that runs here.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BuildError(
            f"--model {source.text}: does not take inputs {tuple(example.shape)}: {reason}"
        ) from error
    if chosen is not None:
        progress(f"of the model's outputs {chosen} is taken; --output names another")
    return model


def _check_graph(
    network: TrainedNetwork,
    source: ModelSource,
    model: nn.Module,
    example: torch.Tensor,
    data: Dataset,
    request: Request,
    progress: Progress,
) -> None:
    """The graph must answer as the model does, and as the runtime that the model is from."""

    def of_the_model(inputs: Array) -> Array:
        with torch.no_grad():
            return np.asarray(a_copy(model)(torch.from_numpy(inputs).to(example.dtype)).float())

    inputs = scaled(data.inputs[:COMPARED], data.scale)
    other = None if source.answers is None else source.answers(request.output)
    by, answers = ("ONNX Runtime", other) if other is not None else ("the model", of_the_model)
    off = check_agreement(network, answers, inputs, source.text, by, whole=data.whole)
    progress(f"the graph answers as {by}, within {off:.1g} of the largest answer")


def _check(model: nn.Module, text: str, example: torch.Tensor, data: Dataset, request: Request) -> RiskMeasure:
    """The risk to certify, once model and data are known to fit it and each other."""
    with torch.no_grad():
        outputs = a_copy(model)(example)
        alone = a_copy(model)(example[:1])
    if len(outputs) != len(example) or not outputs.is_floating_point():
        raise BuildError(
            f"--model {text}: must give floating-point numbers for each sample along the first axis, "
            f"gave {tuple(outputs.shape)} of {outputs.dtype} for {len(example)} samples"
        )
    if not torch.allclose(alone[0], outputs[0], rtol=1e-3, atol=1e-3 * float(outputs.abs().max())):
        raise BuildError(
            f"--model {text}: its answer to an input changes with how many are asked together; leave the "
            "first axis and x.shape[0] out of the arithmetic"
        )
    shape = tuple(outputs.shape[1:])
    task = request.task
    with_objects = data.objects is not None
    if with_objects and (task is None or task.task is not Task.DETECT):
        raise BuildError(f"{data.name}: holds objects, which belong to --task detect")
    if task is not None and task.task is not Task.CLASSIFY:
        return task.risk(shape, tuple(example.shape[1:]), with_objects)
    risk = request.plan.objective.risk
    if task is not None:
        risk = task.risk(shape, tuple(example.shape[1:]), data.labels is not None)
    classes = outputs[0].numel()
    if classes == 1:
        if risk.loss is mean_kl:
            raise BuildError(
                f"--model {text}: has one output; certify --risk threshold:0.5 (threshold:0 for logits) "
                "where it says yes or no, distance:BOUND where it is a number"
            )
        classes = 2
    if data.labels is not None and (data.labels.min() < 0 or data.labels.max() >= classes):
        raise BuildError(f"{data.name}: labels reach {data.labels.max()}, the model has {classes} outputs")
    if data.classes is not None and len(data.classes) != classes:
        raise BuildError(f"{data.name}: {len(data.classes)} folders of classes, the model has {classes} outputs")
    if data.labels is None and risk.kind is Risk.NEWLY_WRONG:
        raise BuildError(f"{data.name}: has no labels; certify --risk disagreement or distance:BOUND instead")
    return risk


def _provenance(request: Request, split: Split) -> Provenance:
    parts = {name: len(part) for name, part in split.parts.items()}
    return Provenance(request.command, request.seed, split.name, parts, str(torch.__version__))
