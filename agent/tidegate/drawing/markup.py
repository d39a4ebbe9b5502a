"""Elements of HTML and SVG, escaped by the standard library, and a page that loads nothing from anywhere."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from xml.etree import ElementTree as ET

Element = ET.Element
Attribute = str | float


def element(tag: str, /, *children: Element | str, **attributes: Attribute) -> Element:
    """An element; in names of attributes `_` stands for `-`, and a last one is dropped: `class_`."""
    named = {key.rstrip("_").replace("_", "-"): _text(value) for key, value in attributes.items()}
    made = ET.Element(tag, named)
    last: Element | None = None
    for child in children:
        if isinstance(child, str):
            if last is None:
                made.text = (made.text or "") + child
            else:
                last.tail = (last.tail or "") + child
        else:
            made.append(child)
            last = child
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Element]]) -> Element:
    """A table that a narrow screen can move without moving the page; the first cell of a row names it."""
    head = element("tr", *(element("th", name, scope="col") if name else element("td") for name in columns))
    body = (
        element("tr", *(each if isinstance(each, Element) else element("td", each) for each in row))
        for row in rows
    )
    inner = element("table", element("thead", head), element("tbody", *body))
    return element("div", inner, class_="wide", tabindex="0", role="group", aria_label=", ".join(columns[:3]))


def figure(caption: str, picture: Element) -> Element:
    """A picture with what it shows in words; a narrow screen moves it, as its text would get too small to read."""
    moving = element("div", picture, class_="wide", tabindex="0", role="group", aria_label=caption)
    return element("figure", element("figcaption", caption), moving)


def document(title: str, parts: Iterable[Element]) -> str:
    """A whole page as text; the style stands in it, and a browser is told to load nothing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("title", title),
        element("style", (files("tidegate.drawing") / "style.css").read_text(encoding="utf-8")),
    )
    page = element("html", head, element("body", element("main", element("h1", title), *parts)), lang="en")
    return "<!doctype html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"


def _text(value: Attribute) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
