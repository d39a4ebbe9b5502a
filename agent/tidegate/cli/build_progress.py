"""A build's progress: lines that stay, and under them a bar for the stage that is under way."""

from types import TracebackType
from typing import Self

from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tidegate.cli.console import err


class BuildProgress:
    """Goes to standard error; without a terminal only the lines are written."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns, console=err, transient=True)
        self._task = self._bar.add_task("starting", total=None)

    def __call__(self, text: str, share: float | None = None) -> None:
        """Show what is going on, and how far it is if that is known."""
        if not err.is_terminal:
            err.say(text)
            return
        self._bar.update(
            self._task, description=escape(text), total=None if share is None else 1, completed=share or 0
        )
        if share is None:
            self._bar.console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
