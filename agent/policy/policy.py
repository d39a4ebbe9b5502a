"""A policy as frozen data: what `decide` reads. `schema` makes it from YAML, and only valid ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum


class Side(StrEnum):
    """On which side of its enter value a reading makes a condition true."""

    ABOVE = "above"
    BELOW = "below"


class Assumption(StrEnum):
    """What a missing or stale reading counts as."""

    IGNORE = "ignore"
    LOW = "assume_low"
    HIGH = "assume_high"
    COOL = "assume_cool"
    HOT = "assume_hot"
    BATTERY = "assume_battery"
    EXTERNAL = "assume_external"


class NoFit(StrEnum):
    """What happens while no certified point satisfies the rule in force."""

    REFUSE = "refuse"
    CHEAPEST_UNCERTIFIED = "cheapest_uncertified"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number beyond `enter` makes it true, at `leave` or past it false; both in the reading's unit.

    `for_s` is how long the number must stay beyond `enter` first. `path` names the condition in the document.
    """

    path: str
    reading: str
    side: Side
    enter: float
    leave: float
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Level:
    """A word at or above `enter` on its scale makes it true, at `leave` or below false."""

    path: str
    reading: str
    scale: tuple[str, ...]
    enter: str
    leave: str


@dataclass(frozen=True, slots=True)
class Equals:
    """A word is this one."""

    path: str
    reading: str
    word: str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them is true."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of them are true."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It is false."""

    condition: "Condition"


Leaf = Threshold | Level | Equals
Condition = Leaf | AnyOf | AllOf | Not


@dataclass(frozen=True, slots=True)
class Between:
    """A time of day from `start` up to, not including, `end`; over midnight when `end` is earlier."""

    start: time
    end: time

    def holds(self, moment: time) -> bool:
        """Whether the time of day lies within."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


@dataclass(frozen=True, slots=True)
class Full:
    """Use the full point."""


@dataclass(frozen=True, slots=True)
class Cheapest:
    """Use the cheapest certified point within the ceiling."""


@dataclass(frozen=True, slots=True)
class Named:
    """Use the point of this name."""

    point: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """Use the most accurate point within the cost bounds; with a loss bound alone, the cheapest point within it.

    Loss is a certified share 0..1, power the draw while answering, latency the p95, memory the resident weights.
    """

    max_accuracy_loss: float | None = None
    max_power_w: float | None = None
    max_latency_ms: float | None = None
    max_memory_bytes: float | None = None


Use = Full | Cheapest | Named | Bounds


@dataclass(frozen=True, slots=True)
class Rule:
    """While `when` and `between` hold (None: always), use this."""

    name: str
    use: Use
    when: Condition | None = None
    between: Between | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Dwell:
    """The least time between two switches, by the direction of the second."""

    down_s: float = 5.0
    up_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; `max_accuracy_loss` is the ceiling over all rules, a share 0..1.

    `leaves` are the conditions on single readings in all its rules, gathered once since every decision needs them.
    """

    name: str
    version: int
    max_accuracy_loss: float
    rules: tuple[Rule, ...] = ()
    default: Use = field(default_factory=Full)
    dwell: Dwell = field(default_factory=Dwell)
    on_missing: Mapping[str, Assumption] = field(default_factory=dict)
    no_fit: NoFit = NoFit.REFUSE
    leaves: tuple[Leaf, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = (leaf for rule in self.rules if rule.when is not None for leaf in _leaves(rule.when))
        object.__setattr__(self, "leaves", tuple(found))


def _leaves(condition: Condition) -> Iterator[Leaf]:
    match condition:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part):
            yield from _leaves(part)
        case _:
            yield condition
