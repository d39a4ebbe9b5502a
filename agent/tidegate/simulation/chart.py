"""A run as text: one line each for battery, temperature, operating point and answers over the day."""

from collections.abc import Sequence

from tidegate.models.ladder import Ladder
from tidegate.policy.choice import accuracy
from tidegate.simulation.run import Run, Sample
from tidegate.simulation.scenario import Scenario

WIDTH = 72
LEAST_WIDTH = 12
_MARGIN = 33
_BLOCKS = " ▁▂▃▄▅▆▇█"


def chart(run: Run, ladder: Ladder, scenario: Scenario, columns: int | None = None) -> str:
    """Lines of `name  low … high  ▁▂▃`, time running to the right, and the hours below; in so many columns."""
    width = WIDTH if columns is None else max(LEAST_WIDTH, min(WIDTH, columns - _MARGIN))
    samples = run.diary
    rungs = {point.name: len(ladder.points) - rung for rung, point in enumerate(ladder.points)}
    right = {point.name: accuracy(point) * 100 for point in ladder.points}
    lines = []
    battery_percent = [each.battery_percent for each in samples if each.battery_percent is not None]
    if battery_percent:
        lines.append(_line(width, "battery %", battery_percent, (0.0, 100.0)))
    lines.append(_line(width, "temperature C", [each.celsius for each in samples]))
    lines.append(_line(width, "draw W", [each.draw_w for each in samples]))
    lines.append(
        _line(width, "point (top: full)", [float(rungs[each.point]) for each in samples], (1.0, float(len(rungs))))
    )
    lines.append(_line(width, "accuracy %", [right[each.point] for each in samples]))
    lines.append(_line(width, "answers Hz", [each.answered_hz for each in samples]))
    return "\n".join([*lines, _hours(width, scenario, samples)])


def _line(width: int, name: str, values: Sequence[float], limits: tuple[float, float] | None = None) -> str:
    low, high = limits or (min(values), max(values))
    span = high - low or 1.0
    cells = []
    for cell in range(width):
        part = values[cell * len(values) // width : (cell + 1) * len(values) // width] or [values[-1]]
        share = (sum(part) / len(part) - low) / span
        cells.append(_BLOCKS[1 + round(max(0.0, min(1.0, share)) * (len(_BLOCKS) - 2))])
    return f"{name:<18}{low:>6.4g} … {high:<6.4g}{''.join(cells)}"


def _hours(width: int, scenario: Scenario, samples: Sequence[Sample]) -> str:
    marks = [" "] * width
    span_s = samples[-1].second + 1
    for hour in range(0, int(span_s // 3600) + 1, 3 if width >= WIDTH // 2 else 6):
        cell = int(hour * 3600 * width / span_s)
        text = f"{(scenario.clock_s / 3600 + hour) % 24:02.0f}h"
        if cell + len(text) <= width:
            marks[cell : cell + len(text)] = text
    return " " * _MARGIN + "".join(marks).rstrip()
