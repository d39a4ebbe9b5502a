"""Which chunks are asked for next, and how long their coming is waited for. Pure."""

from collections.abc import Sequence

from tidegate.content.chunk import Chunk
from tidegate.telemetry.payloads.chunks import MOST_WANTED

WINDOW_BYTES = 1 << 19
"""What may be on its way at once: more is lost with a connection, less waits for each answer."""
PATIENCE_S, LONGEST_PATIENCE_S = 10.0, 600.0


def window(missing: Sequence[Chunk]) -> tuple[Chunk, ...]:
    """The chunks to ask for at once: the first of those that are missing, at least one."""
    asked: list[Chunk] = []
    size = 0
    for chunk in missing[:MOST_WANTED]:
        size += chunk.size
        if asked and size > WINDOW_BYTES:
            break
        asked.append(chunk)
    return tuple(asked)


def patience_s(unanswered: int) -> float:
    """How long to wait for the first chunk of an answer, after so many questions in a row without any.

    Nobody may serve them for days: whoever comes finds the question retained.
    """
    return float(min(LONGEST_PATIENCE_S, PATIENCE_S * 2 ** min(unanswered, 16)))
