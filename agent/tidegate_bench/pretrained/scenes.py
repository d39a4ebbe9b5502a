"""Pictures of people before other pictures, put together from what scikit-image ships."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tidegate_bench.pretrained.packages import shipped

Pixels = npt.NDArray[np.uint8]

PEOPLE = {"astronaut.png": (60, 0, 400, 400), "camera.png": (100, 50, 400, 500)}
"""Who is in front, and where in their picture."""
BACKGROUNDS = (
    "coffee.png",
    "chelsea.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "grass.png",
    "brick.png",
    "gravel.png",
    "ihc.png",
)


def scenes(n: int, side: int, folder: Path, seed: int) -> Pixels:
    """Pictures (n, 3, side, side) of up to two people each, of all sizes, at all places, in other light."""
    rng = np.random.default_rng(seed)
    people = [_picture(name, folder).crop(box) for name, box in PEOPLE.items()]
    backgrounds = [_picture(name, folder) for name in BACKGROUNDS]
    found = np.empty((n, 3, side, side), np.uint8)
    for index in range(n):
        frame = _cut(backgrounds[rng.integers(len(backgrounds))], side, rng)
        for _ in range(rng.integers(0, 3)):
            _put(people[int(rng.random() < 0.2)], frame, rng)
        light = np.asarray(frame, np.float32) * rng.uniform(0.6, 1.25)
        noise = rng.normal(0, rng.uniform(0, 6), light.shape)
        found[index] = np.clip(light + noise, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return found


def crops(n: int, side: int, folder: Path, seed: int) -> Pixels:
    """Squares (n, 3, side, side) out of such pictures, half of them around a face."""
    rng = np.random.default_rng(seed)
    face = _picture("astronaut.png", folder).crop((150, 20, 310, 200))
    backgrounds = [_picture(name, folder) for name in BACKGROUNDS]
    found = np.empty((n, 3, side, side), np.uint8)
    for index in range(n):
        if rng.random() < 0.5:
            left, top, right, bottom = map(float, np.array([25, 25, 135, 155]) + rng.integers(-25, 26, 4))
            frame = face.crop((left, top, right, bottom)).resize((side, side))
        else:
            frame = _cut(backgrounds[rng.integers(len(backgrounds))], side, rng)
        if rng.random() < 0.5:
            frame = frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        light = np.asarray(frame, np.float32) * rng.uniform(0.5, 1.3)
        noise = rng.normal(0, rng.uniform(0, 12), light.shape)
        found[index] = np.clip(light + noise, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return found


def _picture(name: str, folder: Path) -> Image.Image:
    return Image.open(shipped("scikit-image", f"skimage/data/{name}", folder)).convert("RGB")


def _cut(picture: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    size = int(rng.integers(min(side, min(picture.size) - 1), min(picture.size)))
    left, top = (int(rng.integers(0, most - size + 1)) for most in picture.size)
    return picture.crop((left, top, left + size, top + size)).resize((side, side))


def _put(person: Image.Image, frame: Image.Image, rng: np.random.Generator) -> None:
    side = frame.width
    width = int(rng.integers(side * 35 // 100, side * 9 // 10))
    height = width * person.height // person.width
    smaller = person.resize((width, height))
    if rng.random() < 0.5:
        smaller = smaller.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left = int(rng.integers(-width // 4, side - width * 3 // 4))
    frame.paste(smaller, (left, int(rng.integers(-height // 8, side - height // 2))))
