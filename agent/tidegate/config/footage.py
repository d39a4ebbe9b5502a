"""Frames that a device keeps of what it sees."""

from typing import Self

from pydantic import model_validator

from tidegate.config.part import Part
from tidegate.documents import refuse
from tidegate.quantities.units import Duration, Memory


class Footage(Part):
    """Frames kept on this device for certificates of its own; without this section none is, and none stays.

    They are kept to the bit, in the state directory, for the agent's user alone, and never sent: `max_size` bytes
    of them for at most `max_age` seconds, one frame of each `clip`, which is what comes from one source within so
    many seconds.
    """

    max_size: Memory = float(64 << 20)
    max_age: Duration = 30 * 86400.0
    clip: Duration = 60.0

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.max_size < 1 << 20:
            hint = "a certificate takes hundreds of frames; to keep none, leave `footage` out"
            raise refuse("too little room for frames", allowed="1 MiB or more", hint=hint, at=("max_size",))
        if self.max_age < 60:
            hint = "to keep none, leave `footage` out"
            raise refuse("frames would be gone at once", allowed="1 min or more", hint=hint, at=("max_age",))
        if not 0.1 <= self.clip <= self.max_age:
            hint = "as long as one scene lasts, such as `60 s`: frames of one scene count once"
            raise refuse("not the length of a clip", allowed="100 ms to max_age", hint=hint, at=("clip",))
        return self
