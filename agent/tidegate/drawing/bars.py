"""Shares of a whole as stacked bars, and values of several series as dots on a line for each row."""

from collections.abc import Mapping, Sequence

from tidegate.drawing.axes import RIGHT, WIDTH, axes, legend, picture, series_class
from tidegate.drawing.markup import Element, element
from tidegate.drawing.scale import Scale

_ROW, _TOP, _BOTTOM, _NAME = 26.0, 34.0, 44.0, 190.0


def stacked(rows: Mapping[str, Mapping[str, float]], x_label: str) -> Element:
    """A bar for each row from 0 to 1, its parts by name; a part that is wide enough says its share."""
    x = Scale(0.0, 1.0, _NAME, WIDTH - RIGHT)
    y = Scale(0.0, len(rows), _TOP, _TOP + _ROW * len(rows))
    parts = axes(x, y, x_label, "", x_text=_percent, y_ticks=())
    for index, (name, shares) in enumerate(rows.items()):
        top, begins = y.at(index) + 3, 0.0
        parts.append(_name(name, y.at(index)))
        for number, (part, share) in enumerate(shares.items()):
            width = x.at(begins + share) - x.at(begins)
            said = element("title", f"{name}: {part}: {share:.1%}")
            opacity = 1 - 0.75 * number / max(len(shares) - 1, 1)
            bar = element(
                "rect",
                said,
                x=x.at(begins),
                y=top,
                width=width,
                height=_ROW - 6,
                class_="series-1",
                fill_opacity=opacity,
                stroke="none",
            )
            parts.append(bar)
            text = f"{part} {share:.0%}"
            if len(text) * 6.9 < width:
                colour = "on-bar" if opacity > 0.55 else "beside-bar"
                parts.append(element("text", text, x=x.at(begins) + 4, y=top + 14, class_=colour))
            begins += share
    return picture(WIDTH, _TOP + _ROW * len(rows) + _BOTTOM, f"{x_label} of {', '.join(rows)}", *parts)


def dots(rows: Mapping[str, Mapping[str, float | None]], series: Sequence[str], x_label: str) -> Element:
    """A line for each row with a dot for each series whose value is known; values are shares, in percent."""
    known = [value for values in rows.values() for value in values.values() if value is not None]
    x = Scale.around([*known, 1.0], _NAME, WIDTH - RIGHT)
    y = Scale(0.0, len(rows), _TOP, _TOP + _ROW * len(rows))
    parts = axes(x, y, x_label, "", x_text=_percent, y_ticks=())
    for index, (name, values) in enumerate(rows.items()):
        middle = y.at(index + 0.5)
        parts.append(_name(name, y.at(index)))
        parts.append(element("line", x1=x.begins, x2=x.ends, y1=middle, y2=middle, class_="grid"))
        # The first series last: it lies above the others.
        for number in reversed(range(len(series))):
            value = values.get(series[number])
            if value is not None:
                said = element("title", f"{name}, {series[number]}: {value:.1%}")
                mark = f"mark {series_class(number)}"
                parts.append(
                    element("circle", said, cx=x.at(value), cy=middle, r=6 if number == 0 else 4.5, class_=mark)
                )
    label = f"{x_label} of {', '.join(series)} for {', '.join(rows)}"
    height = _TOP + _ROW * len(rows) + _BOTTOM
    return picture(WIDTH, height, label, *legend(series, 8, 16), *parts)


def _name(name: str, top: float) -> Element:
    text = name if len(name) <= 26 else f"{name[:14]}…{name[-10:]}"
    said = element("title", name)
    shown = element("text", said, x=_NAME - 8, y=top + _ROW / 2 + 4, text_anchor="end")
    said.tail = text
    return shown


def _percent(value: float) -> str:
    return f"{value * 100:.4g} %"
