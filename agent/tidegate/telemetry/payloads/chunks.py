"""What a device and an operator say to each other about a bundle's content: what is wanted, and a chunk of it."""

from dataclasses import asdict, dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_WANTED = 64
"""Chunks that are asked for at once."""


@dataclass(frozen=True, slots=True)
class ChunksWanted:
    """Retained by a device that takes in a bundle: the chunks (SHA-256, hexadecimal) to be sent next.

    `bundle` is the pushed bundle's hash, `here` of its `size` bytes are on the device. `ask` grows when chunks are
    asked for again that did not come.
    """

    bundle: str
    chunks: tuple[str, ...]
    ask: int
    here: int
    size: int

    def to_document(self) -> dict[str, object]:
        """As a JSON object."""
        return asdict(self)


class _Wanted(BaseModel):
    # A newer device may say more; an operator's older tool must still serve it.
    model_config = ConfigDict(defer_build=True, extra="ignore", strict=True)

    bundle: Annotated[str, Field(max_length=64)]
    chunks: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=MOST_WANTED)]
    ask: int
    here: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]


def parse_wanted(payload: bytes) -> ChunksWanted | None:
    """What a device wants; None for any other bytes, among them the empty ones of a device that wants nothing."""
    try:
        found = _Wanted.model_validate_json(payload)
    except ValidationError:
        return None
    return ChunksWanted(found.bundle, tuple(found.chunks), found.ask, found.here, found.size)
