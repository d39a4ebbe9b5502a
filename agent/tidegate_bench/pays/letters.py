"""Capital letters drawn from fonts of PyPI's font packages, turned, moved and in clutter: 56x56 pixels.

They are there for pictures larger than the 28x28 of MNIST, with detail at that size.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from tidegate_bench.pays.registries import pypi_package

FONTS = (
    "font-amatic-sc==0.0.4",
    "font-caladea==0.0.2",
    "font-fredoka-one==0.0.4",
    "font-hanken-grotesk==0.0.2",
    "font-intuitive==0.0.4",
    "font-manrope==0.0.2",
    "font-source-sans-pro==0.0.1",
    "font-source-serif-pro==0.0.1",
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIDE = 56
COUNT = 26_000
SEED = 0

LEAST_EM, MOST_EM = 26, 48
"""Height of a font's em in pixels."""

TURN_DEGREES = 15
STROKES = 3
NOISE = 18.0
"""Standard deviation, of 255."""

Pixels = npt.NDArray[np.uint8]


def drawn_letters(folder: Path) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Images uint8 (n, 1, 56, 56) and which letter each is. Raises DataSetUnavailable."""
    files = sorted(file for name in FONTS for file in pypi_package(name, folder).rglob("*.[ot]tf"))
    rng = np.random.default_rng(SEED)
    fonts = [ImageFont.truetype(file, em) for file in files for em in range(LEAST_EM, MOST_EM + 1, 2)]
    labels = np.arange(COUNT) % len(LETTERS)
    images = np.stack([drawn(LETTERS[label], fonts, rng) for label in labels])
    return images[:, None], labels


def drawn(
    letter: str, fonts: Sequence[ImageFont.FreeTypeFont | ImageFont.ImageFont], rng: np.random.Generator
) -> Pixels:
    """One letter (56, 56) in one of the fonts."""
    paper, ink = rng.choice(256, 2, replace=False)
    while abs(int(paper) - int(ink)) < 70:
        paper, ink = rng.choice(256, 2, replace=False)
    mask = Image.new("L", (SIDE, SIDE))
    font = fonts[int(rng.integers(len(fonts)))]
    left, top, right, bottom = font.getbbox(letter)
    # Whole where it fits; fonts of 48 pixels have letters that reach to the edge.
    room_x, room_y = max(SIDE - int(right - left), 1), max(SIDE - int(bottom - top), 1)
    ImageDraw.Draw(mask).text(
        (float(rng.integers(room_x)) - left, float(rng.integers(room_y)) - top), letter, 255, font
    )
    mask = mask.rotate(float(rng.uniform(-TURN_DEGREES, TURN_DEGREES)), Image.Resampling.BILINEAR)
    page = Image.new("L", (SIDE, SIDE), int(paper))
    lines = ImageDraw.Draw(page)
    for _ in range(int(rng.integers(STROKES + 1))):
        lines.line([tuple(map(float, end)) for end in rng.integers(0, SIDE, (2, 2))], int(rng.integers(256)), 1)
    page.paste(int(ink), mask=mask)
    noisy = np.asarray(page, np.float32) + rng.standard_normal((SIDE, SIDE)).astype(np.float32) * NOISE
    pixels: Pixels = np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)
    return pixels
