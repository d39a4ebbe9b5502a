"""Values over time, one panel for each quantity, one line for each series."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.drawing.axes import LEFT, RIGHT, WIDTH, axes, legend, picture, series_class
from tidegate.drawing.markup import Element, element
from tidegate.drawing.scale import Scale, short

_PANEL, _GAP, _TOP, _BOTTOM = 110.0, 30.0, 34.0, 40.0
_NAMES = 96.0
Times = Sequence[float]
Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Panel:
    """One quantity of all series, by the series' name; None is unknown. `words` are the names of whole numbers.

    `limits` are those of the axis, where they are known; else they lie around the values, with `zero` or without.
    """

    title: str
    series: Mapping[str, Values]
    limits: tuple[float, float] | None = None
    words: Sequence[str] = ()
    zero: bool = False


def lines(
    times: Times, panels: Sequence[Panel], x_label: str, x_ticks: Sequence[float], x_text: Callable[[float], str]
) -> Element:
    """The panels above each other, over the same `times`."""
    left = LEFT + (_NAMES - LEFT if any(panel.words for panel in panels) else 0.0)
    x = Scale(times[0], times[-1] if times[-1] > times[0] else times[0] + 1, left, WIDTH - RIGHT)
    names = list(dict.fromkeys(name for panel in panels for name in panel.series))
    parts = legend(names, left, 14)
    top = _TOP + 16
    for panel in panels:
        y = _height(panel, top)
        last = panel is panels[-1]
        ticks = list(range(len(panel.words))) if panel.words else None
        text = (lambda value, words=panel.words: _cut(words[int(value)])) if panel.words else short
        parts += axes(
            x,
            y,
            x_label if last else "",
            "",
            x_ticks=x_ticks,
            x_text=x_text if last else lambda _: "",
            y_text=text,
            y_ticks=ticks if ticks is not None else y.ticks(3),
        )
        parts.append(element("text", panel.title, x=left, y=top - 5))
        for name, values in panel.series.items():
            path = _path(times, values, x, y, stepped=bool(panel.words))
            parts.append(element("path", d=path, class_=f"{series_class(names.index(name))} line", fill="none"))
        top += _PANEL + _GAP
    label = f"{', '.join(panel.title for panel in panels)} over {x_label}, for {', '.join(names)}"
    return picture(WIDTH, top - _GAP + _BOTTOM, label, *parts)


def _height(panel: Panel, top: float) -> Scale:
    bottom = top + _PANEL
    if panel.words:
        # The first word is that of the best, which belongs at the top.
        return Scale(-0.3, len(panel.words) - 0.7, top, bottom)
    if panel.limits is not None:
        return Scale(*panel.limits, bottom, top)
    known = [value for values in panel.series.values() for value in values if value is not None]
    return Scale.around(known, bottom, top, zero=panel.zero)


def _path(times: Times, values: Values, x: Scale, y: Scale, *, stepped: bool) -> str:
    """Drawn where values are known, with gaps between."""
    drawn, pen = [], "M"
    for time, value in zip(times, values, strict=True):
        if value is None:
            pen = "M"
            continue
        at_x, at_y = f"{x.at(time):.1f}", f"{y.at(value):.1f}"
        drawn.append(f"H{at_x}V{at_y}" if stepped and pen == "L" else f"{pen}{at_x} {at_y}")
        pen = "L"
    return "".join(drawn)


def _cut(text: str, letters: int = 13) -> str:
    return text if len(text) <= letters else f"{text[:6]}…{text[-6:]}"
