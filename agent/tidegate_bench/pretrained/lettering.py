"""Lines of text, words of Python's language reference, drawn in the fonts that matplotlib ships."""

import re
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Floats = npt.NDArray[np.float32]

FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "STIXGeneral.ttf")


def lines(n: int, height: int, width: int, seed: int, turned: bool) -> Floats:
    """Pictures (n, 3, height, width) in -1..1 of one line each, half of them upside down if `turned`."""
    rng = np.random.default_rng(seed)
    found = np.empty((n, 3, height, width), np.float32)
    for index in range(n):
        paper, ink = _colours(rng)
        picture = Image.new("RGB", (width, height), paper)
        _write(picture, rng, round(height * rng.uniform(0.45, 0.85)), (int(rng.integers(1, 12)), 0), ink)
        if turned and rng.random() < 0.5:
            picture = picture.rotate(180)
        found[index] = _noisy(picture, rng)
    return found


def pages(n: int, side: int, seed: int) -> Floats:
    """Pictures (n, 3, side, side) in -1..1 with one to six words anywhere."""
    rng = np.random.default_rng(seed)
    found = np.empty((n, 3, side, side), np.float32)
    for index in range(n):
        paper, ink = _colours(rng)
        picture = Image.new("RGB", (side, side), paper)
        for _ in range(rng.integers(1, 7)):
            at = (int(rng.integers(0, side * 2 // 3)), int(rng.integers(0, side * 5 // 6)))
            _write(picture, rng, int(rng.integers(side // 12, side // 5)), at, ink)
        found[index] = _noisy(picture, rng)
    return found


def _colours(rng: np.random.Generator) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    light = tuple(int(value) for value in rng.integers(170, 256, 3))
    dark = tuple(int(value) for value in rng.integers(0, 90, 3))
    paper, ink = (light, dark) if rng.random() < 0.8 else (dark, light)
    return (paper[0], paper[1], paper[2]), (ink[0], ink[1], ink[2])


def _write(
    picture: Image.Image, rng: np.random.Generator, size: int, at: tuple[int, int], ink: tuple[int, int, int]
) -> None:
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    font = ImageFont.truetype(str(fonts / FONTS[rng.integers(len(FONTS))]), size)
    words = _words()
    word = words[rng.integers(len(words))]
    ImageDraw.Draw(picture).text(at, word, fill=ink, font=font)


@cache
def _words() -> list[str]:
    """Of 3 to 12 letters, each once."""
    return sorted({each for _, text in topics.items() for each in re.findall(r"\b[A-Za-z]{3,12}\b", text)})


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Floats:
    values = np.asarray(picture, np.float32) + rng.normal(0, rng.uniform(0, 14), (*picture.size[::-1], 3))
    return np.asarray(np.clip(values, 0, 255).transpose(2, 0, 1) / 127.5 - 1, np.float32)
