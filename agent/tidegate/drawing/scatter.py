"""Points with names in a plane, in series; a bar below a point reaches down to what is guaranteed of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.drawing.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, axes, legend, picture, series_class
from tidegate.drawing.labels import Box, place_labels
from tidegate.drawing.markup import Element, element
from tidegate.drawing.scale import Scale

FAR = 14.0
_LEGEND = 26.0


@dataclass(frozen=True, slots=True)
class Spot:
    """A point: name, series, place, the least that is guaranteed of y (None: nothing is), and if it is ringed."""

    name: str
    series: str
    x: float
    y: float
    least: float | None = None
    chosen: bool = False


def scatter(spots: Sequence[Spot], x_label: str, y_label: str) -> Element:
    """The picture; y are shares and shown in percent."""
    top = TOP + _LEGEND
    xs = [spot.x for spot in spots]
    wide = min(xs) > 0 and max(xs) > 20 * min(xs)
    x = Scale.around(xs, LEFT, WIDTH - RIGHT, logarithmic=wide)
    heights = [value for spot in spots for value in (spot.y, spot.least) if value is not None]
    y = Scale.around(heights, HEIGHT - BOTTOM, top)
    names = list(dict.fromkeys(spot.series for spot in spots))
    parts = axes(x, y, x_label, y_label, y_text=lambda value: f"{value * 100:.4g} %")
    places = [(x.at(spot.x), y.at(spot.y)) for spot in spots]
    bars = [
        Box(at_x - 3, at_y, at_x + 3, max(at_y, y.at(spot.least)))
        for spot, (at_x, at_y) in zip(spots, places, strict=True)
        if spot.least is not None
    ]
    for bar in bars:
        depth = bar.bottom - bar.top
        parts.append(element("rect", x=bar.left, y=bar.top, width=6, height=depth, class_="bound"))
    parts += [_mark(spot, place, names.index(spot.series)) for spot, place in zip(spots, places, strict=True)]
    rings = [place for spot, place in zip(spots, places, strict=True) if spot.chosen]
    parts += [element("circle", cx=cx, cy=cy, r=9, class_="chosen") for cx, cy in rings]
    obstacles = [*bars, *(Box(cx - 10, cy - 10, cx + 10, cy + 10) for cx, cy in rings)]
    frame = Box(LEFT, top, WIDTH - RIGHT, HEIGHT - BOTTOM)
    boxes = place_labels(places, [spot.name for spot in spots], frame, obstacles)
    for spot, place, box in zip(spots, places, boxes, strict=True):
        parts += _label(spot.name, place, box)
    height = max(HEIGHT, *(box.bottom + 4 for box in boxes))
    label = f"{y_label} against {x_label} of {', '.join(spot.name for spot in spots)}"
    return picture(WIDTH, height, label, *legend(names, LEFT, TOP), *parts)


def _mark(spot: Spot, place: tuple[float, float], series: int) -> Element:
    said = element("title", f"{spot.name}: {spot.y:.2%} at {spot.x:.4g}")
    return element("circle", said, cx=place[0], cy=place[1], r=5, class_=f"mark {series_class(series)}")


def _label(name: str, place: tuple[float, float], box: Box) -> list[Element]:
    parts = [element("text", name, x=box.left, y=box.bottom - 3)]
    near_x = min(max(place[0], box.left), box.right)
    near_y = min(max(place[1], box.top), box.bottom)
    if abs(near_x - place[0]) + abs(near_y - place[1]) > FAR:
        parts.insert(0, element("line", x1=place[0], y1=place[1], x2=near_x, y2=near_y, class_="leader"))
    return parts
