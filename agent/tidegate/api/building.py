"""A certified bundle from a model and arrays that are in memory already."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tidegate.api.opened import InputsError
from tidegate.calibration.assemble.model_bundle import Request, build_bundle
from tidegate.calibration.assemble.plan import ALPHAS, DELTA, Plan
from tidegate.calibration.certify.risk import risk_of
from tidegate.calibration.certify.task_risk import TaskOptions
from tidegate.calibration.data.datasets.dataset import Dataset, raw_values
from tidegate.calibration.progress import Progress, silent
from tidegate.calibration.search.goal import Goal
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.task import Task

Batches = Iterable[Any]
"""As a torch DataLoader gives them: inputs, or pairs of inputs and labels."""


def build(
    model: nn.Module | Path | str,
    inputs: npt.ArrayLike | torch.Tensor | Batches,
    labels: npt.ArrayLike | torch.Tensor | None = None,
    *,
    out: Path | str,
    aim: str = "balanced",
    risk: str | None = None,
    task: str | None = None,
    bound: float | None = None,
    blank: int = 0,
    alphas: Sequence[float] = ALPHAS,
    delta: float = DELTA,
    engines: Sequence[str] = (AUTO,),
    classes: Sequence[str] | None = None,
    output: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Bundle:
    """Make a certified ladder for a trained model and write it to `out`; as `tidegate bundle build` does.

    `model` is a torch module, or what `--model` takes: an .onnx or .pt2 file, `package.module:factory`. `inputs`
    are an array or tensor (n, *input shape), or batches such as a DataLoader's, of inputs or of pairs with labels.
    uint8 are pixels, scaled to 0..1; wider whole numbers and floats are as the model takes them. Hundreds are
    needed. Without labels disagreement with the full model is certified, else newly wrong answers, unless
    `risk` or `task`, with its `bound`, or the `blank` of a text, says otherwise. Sets torch's seed and thread
    count. Raises TidegateError for what has to be changed.
    """
    gathered, known = _gathered(inputs)
    known = _array(labels) if labels is not None else known
    if known is not None and (known.shape != (len(gathered),) or known.dtype.kind not in "iu"):
        raise InputsError(f"labels are {known.dtype} {known.shape}, needed are whole numbers ({len(gathered)},)")
    raw, scale, whole = raw_values(gathered, "inputs")
    data = Dataset(
        "arrays",
        raw,
        None if known is None else known.astype(np.int64),
        None if classes is None else tuple(classes),
        scale,
        whole=whole,
    )
    measure = risk_of(risk or ("disagreement" if known is None else "newly_wrong"))
    if task is not None and (task not in set(Task) or risk is not None):
        raise InputsError(
            f"task {task!r}, risk {risk!r}: allowed is one of {', '.join(Task)}, and no risk beside it"
        )
    if blank and task != Task.TEXT:
        raise InputsError(f"blank {blank}: belongs to task 'text', found task {task!r}")
    options = None if task is None else TaskOptions(Task(task), bound, classes=tuple(classes or ()), blank=blank)
    if aim not in set(Goal):
        raise InputsError(f"aim {aim!r}: there is none; allowed are {', '.join(Goal)}")
    wanted = tuple(sorted(set(alphas)))
    plan = Plan.towards(Goal(aim), risk=measure, delta=delta, engines=tuple(engines), alphas=wanted)
    named = model if isinstance(model, nn.Module) else str(model)
    request = Request(
        named, data, Path(out), seed=seed, plan=plan, command="tidegate.build", output=output, task=options
    )
    build_bundle(request, progress)
    return open_bundle(Path(out))


def _gathered(given: object) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Inputs, and labels where batches have them."""
    if isinstance(given, np.ndarray | torch.Tensor | list | tuple):
        return _inputs(_array(given)), None
    if not isinstance(given, Iterable):
        allowed = "an array, a tensor, and batches of either"
        raise InputsError(f"inputs are a {type(given).__name__}; allowed are {allowed}")
    batches = [batch if isinstance(batch, list | tuple) else (batch,) for batch in given]
    if not batches or any(len(batch) not in {1, 2} for batch in batches):
        raise InputsError("batches must be inputs, or pairs of inputs and labels, and at least one of them")
    inputs = np.concatenate([_array(batch[0]) for batch in batches])
    labels = [_array(batch[1]) for batch in batches if len(batch) == len(batches[0]) == 2]
    return _inputs(inputs), np.concatenate(labels) if labels else None


def _array(given: object) -> npt.NDArray[Any]:
    return given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)


def _inputs(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind not in "iuf" or array.ndim < 2:
        allowed = "uint8 (pixels), wider whole numbers and floats, (samples, *input shape)"
        raise InputsError(f"inputs are {array.dtype} {array.shape}; allowed are {allowed}")
    return array
