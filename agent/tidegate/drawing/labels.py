"""Where the names of points go so that they cover neither each other nor a point. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

LETTER, LINE = 6.9, 14.0
"""Width and height of 12 px text, in pixels, rather too much than too little."""
_AROUND = ((1, 0), (1, -1), (1, 1), (-1, 0), (-1, -1), (-1, 1), (0, -1), (0, 1))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two cover a common place."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: "Box") -> bool:
        """Whether the other lies wholly within."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box, obstacles: Sequence[Box] = ()
) -> list[Box]:
    """A box for each text, near its point where there is room, else farther away; none covers an obstacle.

    Where the frame is so full that nothing is free, the boxes below it are taken: the picture grows.
    """
    taken = [*obstacles, *(Box(x - 6, y - 6, x + 6, y + 6) for x, y in points)]
    placed = []
    for (x, y), text in zip(points, texts, strict=True):
        width = len(text) * LETTER
        box = next(
            (
                candidate
                for distance in range(9, 240, 7)
                for candidate in _candidates(x, y, width, distance)
                if frame.holds(candidate) and not any(candidate.meets(other) for other in taken)
            ),
            None,
        )
        if box is None:
            top = max(frame.bottom, *(other.bottom for other in taken))
            box = Box(frame.left, top, frame.left + width, top + LINE)
        taken.append(box)
        placed.append(box)
    return placed


def _candidates(x: float, y: float, width: float, distance: float) -> list[Box]:
    boxes = []
    for right, down in _AROUND:
        left = x + distance if right > 0 else x - distance - width if right < 0 else x - width / 2
        middle = y + down * distance
        boxes.append(Box(left, middle - LINE / 2, left + width, middle + LINE / 2))
    return boxes
