"""`--task` of `bundle build` and what is said of it: how a detector's output is read, what counts as a failure."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.errors import EX_USAGE, TidegateError
from tidegate.models.task import HeadLayout, Task

if TYPE_CHECKING:
    from tidegate.calibration.certify.task_risk import TaskOptions

TASK_PANEL = "Task"
"""The heading of these options in --help."""

SCORE, OVERLAP, SURE = 0.25, 0.45, 0.5
"""What --detect-score, --detect-overlap and --detect-sure are where they are not said."""

TaskOption = Annotated[
    Task | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help=f"What an answer is: {', '.join(Task)}; it names what counts as a failure, in the place of --risk.",
        rich_help_panel=TASK_PANEL,
    ),
]
BoundOption = Annotated[
    float | None,
    typer.Option(
        help="IoU of boxes (0.5), share of pixels (0.02), windows (0) or a text (0), cosine distance (0.05).",
        rich_help_panel=TASK_PANEL,
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        help="What an output must be above: for a yes, in a mask of one class (0.5), for a keyword.",
        rich_help_panel=TASK_PANEL,
    ),
]
BlankOption = Annotated[
    int | None,
    typer.Option(
        "--blank",
        help="Number of the class that stands for no letter in a text; 0 where it isn't said, -1 is the last.",
        rich_help_panel=TASK_PANEL,
    ),
]
NamesOption = Annotated[
    str | None,
    typer.Option(
        help="Names of the classes: a file with one a line, or with commas between them.",
        rich_help_panel=TASK_PANEL,
    ),
]
LayoutOption = Annotated[
    HeadLayout | None,
    typer.Option(
        "--detect-layout",
        metavar="LAYOUT",
        help=f"How the output holds boxes: {', '.join(HeadLayout)}; else its shape tells.",
        rich_help_panel=TASK_PANEL,
    ),
]
ScoreOption = Annotated[
    float,
    typer.Option(
        "--detect-score",
        help="Least score of a box that counts as found.",
        rich_help_panel=TASK_PANEL,
        min=0.001,
        max=0.999,
    ),
]
OverlapOption = Annotated[
    float,
    typer.Option(
        "--detect-overlap",
        help="IoU above which the better box stands alone.",
        rich_help_panel=TASK_PANEL,
        min=0.001,
        max=0.999,
    ),
]
SureOption = Annotated[
    float,
    typer.Option(
        "--detect-sure",
        help="Score from which the full model and a point must agree.",
        rich_help_panel=TASK_PANEL,
        min=0.001,
        max=0.999,
    ),
]
AnchorsOption = Annotated[
    str | None,
    typer.Option(
        "--detect-anchors",
        help="Nine, finest grid first, such as '10,13 16,30 ...', for raw heads.",
        rich_help_panel=TASK_PANEL,
    ),
]


class TaskOptionError(TidegateError, ValueError):
    """Options that contradict each other or can't be read; the message says what is allowed."""

    exit_code = EX_USAGE


def task_options(
    task: Task | None,
    risk: str | None,
    bound: float | None,
    threshold: float | None,
    names: str | None,
    layout: HeadLayout | None,
    score: float,
    overlap: float,
    sure: float,
    anchors: str | None,
    blank: int | None,
) -> "TaskOptions | None":
    """What the options come to; None without a task. Raises TaskOptionError."""
    # It imports torch, which the other commands do without.
    from tidegate.calibration.certify.task_risk import TaskOptions  # noqa: PLC0415

    of_boxes = {
        "--detect-layout": (layout, None),
        "--detect-score": (score, SCORE),
        "--detect-overlap": (overlap, OVERLAP),
        "--detect-sure": (sure, SURE),
        "--detect-anchors": (anchors, None),
    }
    said = [f"{option} {given}" for option, (given, unsaid) in of_boxes.items() if given != unsaid]
    if task is None:
        if said or any(each is not None for each in (bound, threshold, names, blank)):
            raise TaskOptionError(
                "--bound, --threshold, --names, --blank and --detect-...: belong to a --task; name one"
            )
        return None
    if risk is not None:
        raise TaskOptionError(f"--task {task} and --risk {risk}: both say what counts as a failure; give one")
    if said and task is not Task.DETECT:
        raise TaskOptionError(f"{said[0]}: belongs to --task detect, found --task {task}")
    if blank is not None and task is not Task.TEXT:
        raise TaskOptionError(f"--blank {blank}: belongs to --task text, found --task {task}")
    read = None if anchors is None else _anchors(anchors)
    listed = _names(names, letters=task is Task.TEXT)
    return TaskOptions(task, bound, threshold, layout, score, overlap, sure, read, listed, blank or 0)


def _names(given: str | None, *, letters: bool) -> tuple[str, ...]:
    """Names without what is blank around them; letters as they are, since a space is one."""
    if given is None:
        return ()
    try:
        # Eighty names with commas between them are longer than the name of any file may be.
        from_file = os.path.isfile(given)  # noqa: PTH113 - Path.is_file raises for those
        # Not splitlines: a dictionary of letters holds some that are line breaks to Python.
        listed = Path(given).read_text("utf-8").split("\n") if from_file else given.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskOptionError(f"--names {given}: {error}") from error
    kept = (name.removesuffix("\r") if letters else name.strip() for name in listed)
    names = tuple(name for name in kept if name)
    if len(set(names)) != len(names) or not names:
        raise TaskOptionError(f"--names {given}: found {len(names)} names; needed are different ones, in order")
    return names


def _anchors(given: str) -> tuple[tuple[float, float], ...]:
    try:
        pairs = [tuple(float(side) for side in pair.split(",")) for pair in given.split()]
        found = tuple((width, height) for width, height in pairs)
    except ValueError:
        found = ()
    if len(found) != 9 or min(min(pair) for pair in found) <= 0:
        raise TaskOptionError(
            f"--detect-anchors {given!r}: allowed are nine pairs of pixels with blanks between them, such as "
            "'10,13 16,30 33,23 30,61 62,45 59,119 116,90 156,198 373,326'"
        )
    return found
