"""What counts as a failure of an operating point, per input: with labels or without, for any kind of output."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tidegate.calibration.users_code import UsersCodeError, find_function
from tidegate.engines.engine import Array
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models import comparing
from tidegate.models.bundle.evidence import Truth
from tidegate.models.comparing import Mask
from tidegate.models.ladder import Compared, Comparison, Risk

Labels = npt.NDArray[np.int64]
Differ = Callable[[Array, Array], Mask]


class RiskError(TidegateError, ValueError):
    """A risk that there is none of, or that the data can't show; the message says what is allowed."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class RiskMeasure:
    """A risk: `differ` says per sample whether an answer counts as another one than the full model's.

    Both arrays are (samples, *output shape), the full model's first. `loss` is what the search keeps low, a
    smooth companion of the risk. `text` and `comparison`, which is `differ` as data, go into the ladder file.
    `answers` gives what labels are held against, None where outputs are no answers that a label could be; `lost`,
    where labels are objects, says in which samples one is found by the full model alone.
    """

    kind: Risk
    text: str
    comparison: Comparison
    differ: Differ
    loss: Callable[[Array, Array], float]
    answers: Callable[[Array], Labels | None]
    lost: Callable[[Array, Array, Truth], Mask] | None = None

    def failures(self, full: Array, outputs: Array, labels: Truth | None) -> Mask:
        """Which samples fail, bool (samples,). Raises RiskError when labels are needed and missing."""
        differs = self.differ(full, outputs)
        if self.kind is Risk.DISAGREEMENT:
            return differs
        wrong = self.newly_wrong(full, outputs, labels)
        if wrong is None:
            raise RiskError("newly wrong answers need labels; without, certify disagreement")
        return wrong

    def foreseen(self, full: Array, outputs: Array, labels: Truth | None) -> Mask:
        """Which samples fail as far as a search can know: those that differ, where labels are missing."""
        wrong = self.newly_wrong(full, outputs, labels) if self.kind is Risk.NEWLY_WRONG else None
        return self.differ(full, outputs) if wrong is None else wrong

    def newly_wrong(self, full: Array, outputs: Array, labels: Truth | None) -> Mask | None:
        """Where the full model is right and the outputs are wrong; None without labels or answers."""
        if labels is not None and self.lost is not None:
            return self.lost(full, outputs, labels)
        before, after = self.answers(full), self.answers(outputs)
        if labels is None or before is None or after is None:
            return None
        return np.asarray((before == labels) & (after != labels))

    def accuracy(self, outputs: Array, labels: Truth | None) -> float | None:
        """Share of right answers, 0..1; None without labels or answers."""
        found = self.answers(outputs)
        return None if labels is None or found is None else float((found == labels).mean())


def best_class(outputs: Array) -> Labels | None:
    """The class with the largest output; None for a single output."""
    return None if outputs.shape[1] < 2 else outputs.argmax(1)


def newly_wrong(full: Array, outputs: Array, labels: Labels) -> Mask:
    """Where the full model is right and the outputs, both (samples, classes), are wrong."""
    wrong: Mask = (full.argmax(1) == labels) & (outputs.argmax(1) != labels)
    return wrong


def mean_kl(full: Array, outputs: Array) -> float:
    """Mean over samples of KL(full || outputs), both logits (samples, classes), in nats."""
    log_p = torch.log_softmax(torch.from_numpy(full).double(), 1)
    log_q = torch.log_softmax(torch.from_numpy(outputs).double(), 1)
    return float((log_p.exp() * (log_p - log_q)).sum(1).mean())


def relative_square(full: Array, outputs: Array) -> float:
    """Mean squared difference over the full model's variance over samples; where that is 0, the difference itself.

    Both arrays are (samples, *output shape).
    """
    spread = float(full.var(0).mean())
    difference = float(np.square(full - outputs).mean())
    return difference / spread if spread > 0 else difference


def _measure(
    kind: Risk,
    text: str,
    comparison: Comparison,
    loss: Callable[[Array, Array], float] = relative_square,
    answers: Callable[[Array], Labels | None] = best_class,
) -> RiskMeasure:
    return RiskMeasure(kind, text, comparison, partial(comparing.differ, comparison), loss, answers)


NEWLY_WRONG = _measure(Risk.NEWLY_WRONG, "the full model is right and the point is wrong", Comparison(), mean_kl)
DISAGREEMENT = _measure(Risk.DISAGREEMENT, "the point's best class is not the full model's", Comparison(), mean_kl)


def beyond_cosine(bound: float) -> RiskMeasure:
    """For embeddings: the cosine distance, 0..2, to the full model's output is above the bound."""
    return _measure(Risk.DISAGREEMENT, f"cosine distance above {bound:g}", Comparison(Compared.COSINE, bound))


def beyond_distance(bound: float) -> RiskMeasure:
    """For regressors: the Euclidean distance to the full model's output is above the bound."""
    return _measure(Risk.DISAGREEMENT, f"Euclidean distance above {bound:g}", Comparison(Compared.DISTANCE, bound))


def across_threshold(bound: float, labelled: bool = True) -> RiskMeasure:
    """For one output that says yes above the bound and no below it: the answer is the other one."""
    if labelled:
        kind = Risk.NEWLY_WRONG
        text = f"the full model is right and the point, on the other side of {bound:g}, is wrong"
    else:
        kind, text = Risk.DISAGREEMENT, f"the point is on the other side of {bound:g} than the full model"
    answers = partial(_is_above, bound)
    return _measure(kind, text, Comparison(Compared.THRESHOLD, bound), answers=answers)


def _is_above(bound: float, outputs: Array) -> Labels:
    return (outputs[:, 0] > bound).astype(np.int64)


def by_function(path: str) -> RiskMeasure:
    """A user's own `package.module:function(full, outputs) -> bool (samples,)`. Raises RiskError."""
    comparison = Comparison(Compared.OWN)
    return RiskMeasure(Risk.DISAGREEMENT, f"by {path}", comparison, UsersDiffer(path), relative_square, best_class)


class UsersDiffer:
    """Calls a user's function, found by its path; sent to another process it is found there anew."""

    def __init__(self, path: str) -> None:
        """Raises RiskError where there is none."""
        self._path = path
        try:
            self._function = find_function(path, Path.cwd())
        except UsersCodeError as error:
            raise RiskError(f"--risk {path}: {error}") from error

    def __reduce__(self) -> tuple[type["UsersDiffer"], tuple[str]]:
        return UsersDiffer, (self._path,)

    def __call__(self, full: Array, outputs: Array) -> Mask:
        """Bool (samples,). Raises RiskError where the function fails, or gives anything else."""
        try:
            mask = np.asarray(self._function(full, outputs))
        except UsersCodeError as error:
            raise RiskError(f"--risk {self._path}: {error}") from error
        if mask.dtype != np.bool_ or mask.shape != (len(full),):
            raise RiskError(f"{self._path}: must return bool ({len(full)},), returned {mask.dtype} {mask.shape}")
        return mask


def risk_of(text: str) -> RiskMeasure:
    """`newly_wrong`, `disagreement`, `KIND:BOUND` (cosine, distance, threshold) or `package.module:function`.

    Raises RiskError.
    """
    plain = {"newly_wrong": NEWLY_WRONG, "disagreement": DISAGREEMENT}
    if text in plain:
        return plain[text]
    kind, _, rest = text.partition(":")
    if kind == "threshold":
        return across_threshold(_number(text, rest))
    bounded = {"cosine": beyond_cosine, "distance": beyond_distance}.get(kind)
    if bounded is None:
        if not rest:
            raise RiskError(
                f"--risk {text}: there is none; allowed are newly_wrong, disagreement, cosine:BOUND, "
                "distance:BOUND, threshold:BOUND and package.module:function"
            )
        return by_function(text)
    bound = _number(text, rest)
    if not bound > 0:
        raise RiskError(f"--risk {text}: the bound after the colon must be above 0, such as {kind}:0.05")
    return bounded(bound)


def _number(text: str, rest: str) -> float:
    try:
        return float(rest)
    except ValueError:
        raise RiskError(f"--risk {text}: needed is a number after the colon, such as 0.5") from None
