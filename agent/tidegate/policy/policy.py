"""A policy as frozen data: what `decide` reads. `schema` makes it from YAML, and only valid ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from enum import StrEnum

_STATED = "input"


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
    YES = "assume_yes"
    NO = "assume_no"


class NoFit(StrEnum):
    """What happens while no certified point satisfies the rule in force."""

    REFUSE = "refuse"
    SLOW_DOWN = "slow_down"
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
    """Holds while the reading equals `word`."""

    path: str
    reading: str
    word: str


@dataclass(frozen=True, slots=True)
class Between:
    """A time of day from `start` up to, not including, `end`; over midnight when `end` is earlier.

    `days` are those it begins on, Monday being 0; None for every day. Equal times mean the whole day.
    """

    start: time
    end: time
    days: frozenset[int] | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether the moment, on its own clock, lies within."""
        clock = moment.time()
        if self.start < self.end:
            return self.start <= clock < self.end and self._begins_on(moment)
        if clock >= self.start:
            return self._begins_on(moment)
        return clock < self.end and self._begins_on(moment - timedelta(days=1))

    def _begins_on(self, moment: datetime) -> bool:
        return self.days is None or moment.weekday() in self.days


@dataclass(frozen=True, slots=True)
class Window:
    """The time of day is within `between`; `name` is the schedule's, empty for times written in place."""

    path: str
    between: Between
    name: str = ""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them is true."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds while all conditions hold."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Holds while the condition does not; unknown while that is unknown."""

    condition: "Condition"


Leaf = Threshold | Level | Equals
Condition = Leaf | Window | AnyOf | AllOf | Not


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


@dataclass(frozen=True, slots=True)
class Pause:
    """Answer nothing; the cheapest point within the ceiling stays loaded."""


@dataclass(frozen=True, slots=True)
class Wake:
    """What ends a sleep, the first that comes: a time, the battery above a percentage, an input, a request."""

    at: time | None = None
    battery_above: float | None = None
    input: str | None = None
    request: bool = False


@dataclass(frozen=True, slots=True)
class Sleep(Pause):
    """A pause in which there is no worker, until what `wake` names."""

    wake: Wake = field(default_factory=Wake)


Use = Full | Cheapest | Named | Bounds | Pause


@dataclass(frozen=True, slots=True)
class Limit:
    """Last resorts beside the operating point: the most requests a second and at once; None for no limit."""

    rate_hz: float | None = None
    concurrency: int | None = None


NO_LIMIT = Limit()


Controls = Mapping[str, str]
"""Settings of the device by their names in drivers/controls, each with the value that the kernel takes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """While `when` and `between` hold (None: always), use this, within the limit and with the controls set."""

    name: str
    use: Use
    when: Condition | None = None
    between: Window | None = None
    urgent: bool = False
    limit: Limit = NO_LIMIT
    controls: Controls = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dwell:
    """The least time between two switches, by the direction of the second."""

    down_s: float = 5.0
    up_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Panel:
    """A solar panel that is to be counted on: its peak, W, and when the sun is on it."""

    peak_w: float
    rise: time = time(6)
    set: time = time(19)


@dataclass(frozen=True, slots=True)
class DutyCycle:
    """That the goals may have the device sleep: it draws `asleep_w` then, and is awake once in each `period_s`."""

    asleep_w: float
    period_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Goals:
    """What to spend the budgets on: the most correct answers that meet all of them; None for goals not set.

    Battery: down to `reserve_percent` at the time of day and not before. Energy: of the whole device from
    midnight to midnight, J. Latency: of inference, ms. Temperature: of the hottest zone, C. The
    panel is no goal but what the battery's may count on, the duty cycle what it may resort to.
    """

    battery_until: time | None = None
    reserve_percent: float = 5.0
    energy_per_day_j: float | None = None
    latency_p95_ms: float | None = None
    temperature_ceiling_c: float | None = None
    panel: Panel | None = None
    duty_cycle: DutyCycle | None = None

    @property
    def any(self) -> bool:
        """Whether a goal is set; a reserve, a panel or a duty cycle alone is none."""
        none = Goals(reserve_percent=self.reserve_percent, panel=self.panel, duty_cycle=self.duty_cycle)
        return self != none


@dataclass(frozen=True, slots=True)
class DriftGuard:
    """The share of requests answered by the full model too, on external power or below the temperature (C)."""

    share: float = 0.01
    below_c: float = 60.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The whole policy; `max_accuracy_loss` is the ceiling over all rules, a share 0..1.

    `time_zone` None is the device's own. The fields without a parameter are the conditions on single readings in
    all its rules, gathered once since every decision needs them; `doubted` are those of urgent rules by their
    path, with whether the rule begins with them or with their end, and `watched` the readings of these.
    """

    name: str
    version: int
    max_accuracy_loss: float
    rules: tuple[Rule, ...] = ()
    default: Use = field(default_factory=Full)
    default_controls: Controls = field(default_factory=dict)
    dwell: Dwell = field(default_factory=Dwell)
    on_missing: Mapping[str, Assumption] = field(default_factory=dict)
    no_fit: NoFit = NoFit.REFUSE
    goals: Goals = field(default_factory=Goals)
    time_zone: tzinfo | None = None
    drift_guard: DriftGuard | None = None
    leaves: tuple[Leaf, ...] = field(init=False, repr=False, compare=False)
    readings: tuple[str, ...] = field(init=False, repr=False, compare=False)
    thresholds: tuple[tuple[Threshold, str, str, bool, float, float], ...] = field(
        init=False, repr=False, compare=False
    )
    others: tuple[Level | Equals, ...] = field(init=False, repr=False, compare=False)
    doubted: Mapping[str, bool] = field(init=False, repr=False, compare=False)
    watched: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def asks_for(self, reading: str) -> bool:
        """Whether a rule's condition or what wakes reads it, by its name or by that of its kind."""
        asked = (*self.readings, *self.wakes_by)
        return reading in asked or reading.partition("/")[0] in asked

    @property
    def wakes_by(self) -> tuple[str, ...]:
        """The readings that may end a sleep."""
        wakes = [rule.use.wake for rule in self.rules if isinstance(rule.use, Sleep)]
        inputs = tuple(f"{_STATED}/{wake.input}" for wake in wakes if wake.input is not None)
        return (*inputs, *(("battery",) if any(wake.battery_above is not None for wake in wakes) else ()))

    def __post_init__(self) -> None:
        found = tuple(leaf for rule in self.rules if rule.when is not None for leaf in leaves_of(rule.when))
        object.__setattr__(self, "leaves", found)
        object.__setattr__(self, "others", tuple(leaf for leaf in found if not isinstance(leaf, Threshold)))
        object.__setattr__(self, "readings", tuple(dict.fromkeys(leaf.reading for leaf in found)))
        # Urgent rules begin where these become true, or false behind a `not`. What an outside source says is no
        # measurement: it may come only once.
        urgent = [
            (leaf, begins)
            for rule in self.rules
            if rule.urgent and rule.when is not None
            for leaf, begins in signed_leaves_of(rule.when)
            if leaf.reading.partition("/")[0] != _STATED
        ]
        doubted = {leaf.path: begins for leaf, begins in urgent}
        object.__setattr__(self, "watched", tuple(dict.fromkeys(leaf.reading for leaf, _ in urgent)))
        object.__setattr__(self, "doubted", doubted)
        # Unpacked, since reading five attributes of each threshold is most of what a decision costs.
        thresholds = tuple(
            (leaf, leaf.path, leaf.reading, leaf.side is Side.ABOVE, leaf.enter, leaf.leave)
            for leaf in found
            if isinstance(leaf, Threshold)
        )
        object.__setattr__(self, "thresholds", thresholds)


def signed_leaves_of(condition: Condition, begins: bool = True) -> Iterator[tuple[Leaf, bool]]:
    """The conditions on single readings, each with whether it helps the whole to hold by being true."""
    match condition:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from signed_leaves_of(part, begins)
        case Not(part):
            yield from signed_leaves_of(part, not begins)
        case Window():
            return
        case _:
            yield condition, begins


def leaves_of(condition: Condition) -> Iterator[Leaf]:
    """The conditions on single readings within a condition."""
    match condition:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from leaves_of(part)
        case Not(part):
            yield from leaves_of(part)
        case Window():
            return
        case _:
            yield condition
