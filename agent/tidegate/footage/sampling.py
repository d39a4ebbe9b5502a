"""Which clips belong to an even sample of all those in the time kept, when room is limited. Pure.

Each clip draws a key evenly from 0 to 1 and is kept while its key is below a ceiling, which falls as room runs out
(bottom-k sampling). So whatever was kept at any moment, clips below the lowest ceiling of the whole time kept are
an even sample of it: each clip of that time was as likely as any other to be among them.
"""

from dataclasses import dataclass

RAISE = 1.5
"""How fast a ceiling rises again where fewer clips come than before."""
IDLE = 0.5
"""The share of the room that is used at most before it does."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """In force from a moment on, Unix time."""

    since_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """The ceilings that still matter, rising with time: the first bounds the sample, the last is in force."""

    ceilings: tuple[Ceiling, ...] = (Ceiling(0.0, 1.0),)

    def __post_init__(self) -> None:
        values = [each.value for each in self.ceilings]
        if not values or values != sorted(values) or not all(0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"ceilings {values} must rise within 0..1")

    @property
    def in_force(self) -> float:
        """A clip is kept if its key is below."""
        return self.ceilings[-1].value

    @property
    def even_below(self) -> float:
        """What is kept with a smaller key is an even sample of the time kept."""
        return self.ceilings[0].value

    def lowered(self, at_s: float, value: float) -> "Sampling":
        """Nothing of this key or above is kept any more, whenever it came."""
        kept = tuple(each for each in self.ceilings if each.value < value)
        return Sampling((*kept, Ceiling(at_s, value)))

    def after(self, now_s: float, max_age_s: float, used: float) -> "Sampling":
        """As time goes on: what is older than `max_age_s` is gone, `used` is the share of the room taken.

        The ceiling rises where a whole such time under it has left much room.
        """
        ceilings = list(self.ceilings)
        while len(ceilings) > 1 and ceilings[1].since_s <= now_s - max_age_s:
            ceilings.pop(0)
        last = ceilings[-1]
        if last.value < 1.0 and used < IDLE and last.since_s <= now_s - max_age_s:
            ceilings.append(Ceiling(now_s, min(1.0, RAISE * max(last.value, 1e-6))))
        return Sampling(tuple(ceilings))
