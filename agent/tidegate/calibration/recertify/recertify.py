"""Running a bundle's points on inputs of one's own, and the bundle with the certificates that come of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tidegate.calibration.data.batches import answer_on_all_cores
from tidegate.calibration.recertify.counting import PointAnswers, answers_of, compared
from tidegate.calibration.recertify.inputs import Inputs
from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.another_ladder import write_with_ladder
from tidegate.models.bundle.evidence import Floats, Indices, Objects
from tidegate.models.comparing import Mask
from tidegate.models.graph.row_numbers import RowNumbers
from tidegate.models.ladder import Certificate, Compared, Ladder


class RecertifyError(TidegateError, ValueError):
    """This bundle can't be certified on these inputs; the message says why and what to do."""

    exit_code = EX_DATAERR


@dataclass(frozen=True, slots=True)
class LadderAnswers:
    """The full model's answers (n,), None where outputs are no classes; the other points' in the ladder's order.

    `left_out` are points that the engine can't run here, each with the reason.
    """

    full: Indices | None
    points: Mapping[str, PointAnswers]
    left_out: Mapping[str, str]

    def of(self, some: Mask) -> "LadderAnswers":
        """Those to some of the inputs, bool (n,)."""
        points = {
            name: PointAnswers(
                None if each.answers is None else each.answers[some],
                each.differs[some],
                None if each.lost is None else each.lost[some],
            )
            for name, each in self.points.items()
        }
        return LadderAnswers(None if self.full is None else self.full[some], points, self.left_out)


def answered(
    bundle: Bundle,
    engine: Engine,
    inputs: Floats,
    progress: Callable[[str], None] = lambda _: None,
    objects: Objects | None = None,
) -> LadderAnswers:
    """What every point answers to inputs (n, *input shape), with objects if known. Raises RecertifyError."""
    comparison = bundle.calibration.comparison
    if comparison.kind is Compared.OWN:
        raise RecertifyError(
            f"{bundle.path}: was certified by a function of its builder's own, which isn't in the bundle;"
            " build it again with --risk disagreement to certify it elsewhere"
        )
    if objects is not None and comparison.detector is None:
        raise RecertifyError(f"{bundle.path}: its task is {comparison.task}; objects are for detectors")
    if inputs.shape[1:] != bundle.input.shape:
        raise RecertifyError(
            f"{bundle.path}: takes inputs of the shape {bundle.input.shape}, these have {inputs.shape[1:]}"
        )
    rows = RowNumbers.of(bundle.segments[0], bundle.weight_shapes)
    if rows is not None and (trouble := rows.trouble(inputs)) is not None:
        raise RecertifyError(f"{bundle.path}: of the inputs {trouble}; take those inputs out")
    full = answer_on_all_cores(engine, bundle.ladder.full, inputs).outputs
    points: dict[str, PointAnswers] = {}
    left_out: dict[str, str] = {}
    for point in bundle.ladder.points[1:]:
        try:
            outputs = answer_on_all_cores(engine, point, inputs).outputs
        except UnsupportedPoint as error:
            left_out[point.name] = str(error)
            continue
        points[point.name] = compared(comparison, full, outputs, objects)
        progress(f"{point.name}: differs from full on {points[point.name].differs.sum()} of {len(inputs)} inputs")
    return LadderAnswers(answers_of(comparison, full), points, left_out)


def joined(found: Sequence[LadderAnswers]) -> LadderAnswers:
    """Answers to inputs that came in parts, at least one, in their order."""
    left_out = {name: reason for each in found for name, reason in each.left_out.items()}
    full = [each.full for each in found if each.full is not None]
    points = {
        name: _joined_points([each.points[name] for each in found])
        for name in found[0].points
        if name not in left_out
    }
    return LadderAnswers(np.concatenate(full) if full else None, points, left_out)


def _joined_points(found: Sequence[PointAnswers]) -> PointAnswers:
    answers = [each.answers for each in found if each.answers is not None]
    return PointAnswers(
        np.concatenate(answers) if answers else None, np.concatenate([each.differs for each in found])
    )


def held_certificates(
    bundle: Bundle, found: Mapping[str, Certificate | None], delta: float
) -> dict[str, Certificate]:
    """Of the points that hold, full first, which loses nothing. Raises RecertifyError where no other does."""
    held = {name: each for name, each in found.items() if each is not None}
    if not held:
        raise RecertifyError("no point is certified on these inputs: there is nothing to write; more would help")
    first = next(iter(held.values()))
    return {bundle.ladder.full.name: Certificate(first.risk, 0.0, delta, first.n, 0, 0), **held}


def with_certificates(
    bundle: Bundle,
    found: Mapping[str, Certificate],
    alphas: Sequence[float],
    delta: float,
    data: Inputs,
    out: Path,
) -> None:
    """Write the bundle with certificates of these points alone; others leave the ladder. `out` must not exist.

    `data` are the inputs, by which the ladder then says what it holds for. Raises RecertifyError.
    """
    if out.exists():
        raise RecertifyError(f"{out}: is there already; name a directory that isn't")
    points = [
        replace(point, certificate=certificate)
        for point in bundle.ladder.points
        if (certificate := found.get(point.name)) is not None
    ]
    comparison = bundle.calibration.comparison
    failure = bundle.calibration.failure
    if comparison.detector is not None and comparison.bound is not None:
        failure = comparison.detector.failure(comparison.bound, data.objects is not None)
    calibration = replace(
        bundle.calibration,
        failure=failure,
        data=data.name,
        alphas=tuple(alphas),
        delta=delta,
        parts={**bundle.calibration.parts, "certify": data.sha256},
    )
    write_with_ladder(bundle, Ladder(tuple(points)), calibration, out)
