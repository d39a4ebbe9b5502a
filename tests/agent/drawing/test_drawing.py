"""Drawing: names never cover each other, values stand at their places, pages load nothing, unknown is a gap."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.drawing.bars import dots, stacked
from tidegate.drawing.labels import Box, place_labels
from tidegate.drawing.lines import Panel, lines
from tidegate.drawing.markup import document, element, figure, table
from tidegate.drawing.scale import Scale, nice_step
from tidegate.drawing.scatter import Spot, scatter

FRAME = Box(60, 40, 700, 280)
EVIL = "<script>alert(1)</script>"

spots = st.tuples(st.floats(60, 700), st.floats(40, 280))
names = st.text("abcdefghij-0123456789", min_size=1, max_size=18)


@given(st.lists(st.tuples(spots, names), min_size=1, max_size=12))
def test_names_cover_neither_each_other_nor_a_point(drawn: list[tuple[tuple[float, float], str]]) -> None:
    points, texts = [point for point, _ in drawn], [text for _, text in drawn]
    bar = Box(300, 100, 306, 200)
    boxes = place_labels(points, texts, FRAME, [bar])
    assert len(boxes) == len(points)
    for index, box in enumerate(boxes):
        assert not any(box.meets(other) for other in (*boxes[index + 1 :], bar))
        assert not any(box.meets(Box(x - 5, y - 5, x + 5, y + 5)) for x, y in points)
        assert FRAME.holds(box) or box.top >= FRAME.bottom


def test_a_name_stands_beside_its_point_where_there_is_room() -> None:
    [box] = place_labels([(100, 100)], ["int8"], FRAME)
    assert (box.left, (box.top + box.bottom) / 2) == (109, 100)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.booleans(), st.booleans())
def test_a_scale_holds_its_values_and_ticks(values: list[float], zero: bool, logarithmic: bool) -> None:
    scale = Scale.around(values, 10, 500, zero=zero, logarithmic=logarithmic)
    for value in (*values, *scale.ticks()):
        assert 9.99 <= scale.at(value) <= 500.01
    assert 1 <= len(scale.ticks()) <= 12
    assert not zero or scale.logarithmic or scale.low <= 0 <= scale.high


@pytest.mark.parametrize(("span", "about", "step"), [(10, 5, 2), (1, 5, 0.2), (7, 7, 1), (0.013, 4, 0.005)])
def test_steps_are_round(span: float, about: int, step: float) -> None:
    assert nice_step(span, about) == pytest.approx(step)


def test_a_bar_reaches_from_what_was_measured_to_what_is_certified() -> None:
    drawn = scatter(
        [
            Spot("full", "any engine", 4.0, 0.98, chosen=True),
            Spot("int8", "onnx", 2.0, 0.97, least=0.95),
            Spot("skip", "litert", 1.0, 0.90),
        ],
        "latency, ms",
        "accuracy",
    )
    bars = [each for each in drawn if each.get("class") == "bound"]
    marks = {each.find("title").text.split(":")[0]: each for each in drawn if "mark" in each.get("class", "")}  # type: ignore[union-attr]  # every mark has one
    assert len(bars) == 1
    assert float(bars[0].get("y", "")) == float(marks["int8"].get("cy", ""))
    assert float(bars[0].get("height", "")) > 10
    classes = {name: mark.get("class") for name, mark in marks.items()}
    assert classes == {"full": "mark series-1", "int8": "mark series-2", "skip": "mark series-3"}
    assert len([each for each in drawn if each.get("class") == "chosen"]) == 1
    assert float(marks["skip"].get("cx", "")) < float(marks["full"].get("cx", ""))


def test_unknown_is_a_gap_in_a_line() -> None:
    drawn = lines(
        [0, 1, 2, 3],
        [Panel("W", {"a": [1, None, 2, 3]}), Panel("point", {"a": [0, 1, None, 0]}, words=("full", "x"))],
        "h",
        [0, 3],
        str,
    )
    paths = [each.get("d", "") for each in drawn if each.tag == "path"]
    assert [re.sub(r"[\d. ]+", "", path) for path in paths] == ["MML", "MHVM"]


def test_what_is_not_known_has_no_dot() -> None:
    drawn = dots({"monday": {"ours": 0.9, "other": None}, "tuesday": {"ours": 1.0}}, ["ours", "other"], "share")
    assert len([each for each in drawn if each.tag == "circle"]) == 2


def test_parts_of_a_bar_lie_side_by_side() -> None:
    drawn = stacked({"int8": {"early": 0.25, "late": 0.75}}, "share")
    bars = [each for each in drawn if each.find("title") is not None and each.tag == "rect"]
    edges = [(float(bar.get("x", "")), float(bar.get("width", ""))) for bar in bars]
    assert edges[0][0] + edges[0][1] == pytest.approx(edges[1][0])
    assert edges[1][1] == pytest.approx(3 * edges[0][1])


def test_a_page_loads_nothing_and_takes_names_as_text() -> None:
    picture = scatter([Spot(EVIL, EVIL, 1, 1)], EVIL, EVIL)
    days = dots({EVIL: {EVIL: 1.0}}, [EVIL], EVIL)
    pictures = [figure(EVIL, picture), figure(EVIL, days)]
    page = document(EVIL, [*pictures, table((EVIL,), [[EVIL]]), element("p", EVIL)])
    tags: list[str] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]  # as its documentation has it
    reader.feed(page)
    assert "svg" in tags
    assert "script" not in tags
    assert not re.search(r"(?:src|href)=|@import|url\(", page)
    assert "default-src 'none'" in page
    assert page.startswith("<!doctype html>\n<html")


def test_children_may_be_text_and_elements_in_any_order() -> None:
    assert ET.tostring(element("p", "a", element("b", "c"), "d", "e", class_="x", data_y=1.5)) == (
        b'<p class="x" data-y="1.5">a<b>c</b>de</p>'
    )
