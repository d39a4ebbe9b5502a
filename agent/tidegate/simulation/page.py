"""Simulated days as one HTML page: what each policy did, over the same hours, and what it came to."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from tidegate.drawing.lines import Panel, lines
from tidegate.drawing.markup import Element, document, element, figure, table
from tidegate.models.ladder import Ladder
from tidegate.policy.choice import accuracy
from tidegate.simulation.run import Run, Sample
from tidegate.simulation.scenario import Scenario
from tidegate.simulation.totals_table import totals_rows

COLUMNS = 360
"""Of the pictures: four minutes each for a day."""
SIMULATED = "Simulated: battery, heat and power are estimates of the device's profile."


def page(title: str, runs: Sequence[Run], ladder: Ladder, scenario: Scenario, notes: Iterable[str] = ()) -> str:
    """The page; `runs` are of different policies on the same day."""
    caption = f"{scenario.name}: a line for each policy."
    parts = [
        *(element("p", note, class_="muted") for note in (SIMULATED, *notes)),
        figure(caption, day(runs, ladder, scenario)),
        element("h2", "What it came to"),
        table(("", *(run.name for run in runs)), totals_rows(runs)),
    ]
    return document(title, parts)


def day(runs: Sequence[Run], ladder: Ladder, scenario: Scenario) -> Element:
    """Battery, temperature, draw, point, accuracy and answers of each run, one above the other."""
    groups = _groups(runs[0].diary)
    hours = [(scenario.clock_s + group[0].second) / 3600 for group in groups]
    right = {point.name: accuracy(point) * 100 for point in ladder.points}
    rungs = {name: float(rung) for rung, name in enumerate(ladder.names)}
    binned = {run.name: _groups(run.diary) for run in runs}
    batteries = {
        name: [_mean(each.battery_percent for each in group) for group in found] for name, found in binned.items()
    }
    panels = []
    if any(value is not None for values in batteries.values() for value in values):
        panels.append(Panel("battery, %", batteries, (0.0, 100.0)))

    def means(value: Callable[[Sample], float]) -> dict[str, list[float | None]]:
        return {name: [_mean(map(value, group)) for group in found] for name, found in binned.items()}

    panels += [
        Panel("temperature, °C", means(lambda each: each.celsius)),
        Panel("draw, W", means(lambda each: each.draw_w), zero=True),
        Panel(
            "operating point",
            {name: [rungs[group[-1].point] for group in found] for name, found in binned.items()},
            words=ladder.names,
        ),
        Panel("accuracy, %", means(lambda each: right[each.point])),
        Panel("answers a second", means(lambda each: each.answered_hz), zero=True),
    ]
    step = 3 if hours[-1] - hours[0] > 8 else 1
    ticks = [float(hour) for hour in range(int(hours[0]) - 1, int(hours[-1]) + 2) if hour % step == 0]
    within = [hour for hour in ticks if hours[0] <= hour <= hours[-1]]
    return lines(hours, panels, "time of day", within, lambda hour: f"{hour % 24:02.0f}:00")


def _groups(diary: Sequence[Sample]) -> list[Sequence[Sample]]:
    """The diary in at most COLUMNS parts of about equal length."""
    count = min(COLUMNS, len(diary))
    edges = [index * len(diary) // count for index in range(count + 1)]
    return [diary[begin:end] for begin, end in pairwise(edges)]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
