"""The frame of a chart: its place, grid, ticks and what its axes are."""

from collections.abc import Callable, Sequence

from tidegate.drawing.markup import Element, element
from tidegate.drawing.scale import Scale, short

WIDTH, HEIGHT = 720.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 26.0, 14.0, 46.0


def picture(width: float, height: float, label: str, *parts: Element) -> Element:
    """An SVG that says what it shows."""
    return element(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def axes(
    x: Scale,
    y: Scale,
    x_label: str,
    y_label: str,
    *,
    x_text: Callable[[float], str] = short,
    y_text: Callable[[float], str] = short,
    x_ticks: Sequence[float] | None = None,
    y_ticks: Sequence[float] | None = None,
) -> list[Element]:
    """Grid, ticks and labels of a plot that lies within both scales."""
    left, right = sorted((x.begins, x.ends))
    top, bottom = sorted((y.begins, y.ends))
    parts = []
    for value in y.ticks() if y_ticks is None else y_ticks:
        at = y.at(value)
        parts.append(element("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
        parts.append(element("text", y_text(value), x=left - 6, y=at + 4, text_anchor="end", class_="tick"))
    for value in x.ticks(7) if x_ticks is None else x_ticks:
        at = x.at(value)
        parts.append(element("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid"))
        parts.append(element("text", x_text(value), x=at, y=bottom + 16, text_anchor="middle", class_="tick"))
    parts.append(element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
    if x_label:
        middle = (left + right) / 2
        parts.append(element("text", x_label, x=middle, y=bottom + 34, text_anchor="middle", class_="tick"))
    if y_label:
        parts.append(element("text", y_label, x=left - 6, y=top - 4, text_anchor="start", class_="tick"))
    return parts


def series_class(index: int) -> str:
    """The class of a series' colour; there are six."""
    return f"series-{index % 6 + 1}"


def legend(names: Sequence[str], x: float, y: float) -> list[Element]:
    """A coloured square and a name for each series, in one line."""
    parts = []
    for index, name in enumerate(names):
        parts.append(element("rect", x=x, y=y - 9, width=10, height=10, class_=series_class(index)))
        parts.append(element("text", name, x=x + 14, y=y))
        x += 14 + len(name) * 6.9 + 16
    return parts
