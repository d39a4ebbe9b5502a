"""The brown-out guard: points at which the device lost its power are left alone until the supply is better. Pure.

Small boards die of the current that inference takes at its start: what remains is a run without a goodbye, and
another boot. One such end may be a pulled plug. Two at one point, with no better supply in between, put that point
off, and with it all that draw more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tidegate.models.ladder import OperatingPoint
from tidegate_drivers.reading import BATTERY, POWER_SOURCE, Snapshot

LOSSES = 2
"""So many put a point off."""
BETTER_PERCENT = 15.0
"""How much fuller the battery must be than at the loss, in percent of a full one."""
_FULL_PERCENT = 100.0
BETTER_VOLTS = 1.03
"""How much higher a supply's voltage must be than at the loss, as a ratio."""
TRY_AGAIN_S = 86_400.0
"""How long a point is left alone where the supply can't prove better; one more loss puts it off again."""
TRY_AGAIN_KNOWN_S = 7 * 86_400.0
"""The same where it could: a battery that is kept at half its charge never rises enough."""
LONGEST_S = 30 * 86_400.0
"""Each loss after such a try doubles the time until the next, up to this."""
CLIMB_S = 60.0
"""How long after a loss each further point stays shut, from the cheapest upwards."""
VOLTAGE = "voltage"
"""Readings of supplies are `voltage/<name>`; the same name is compared with itself alone."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What is known of it: charge in percent, whether external power is there, volts by name; None is unknown."""

    percent: float | None = None
    external: bool | None = None
    volts: Mapping[str, float] = field(default_factory=dict)

    def in_words(self) -> str:
        """For a person; empty where nothing is known."""
        words = [] if self.percent is None else [f"battery {self.percent:.0f} %"]
        words += [] if self.external is None else ["external power" if self.external else "no external power"]
        words += [f"{name} {value:.3g} V" for name, value in self.volts.items()]
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Losses:
    """How often the power was lost at a point, the supply as it was before that, and how long it ran since, s.

    `tries` are how often it was used again without a better supply.
    """

    count: int
    supply: Supply = field(default_factory=Supply)
    ran_s: float = 0.0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Guard:
    """What the guard remembers. `losses` are by point, `supply` as last seen.

    `climbs` after a loss, from the moment `since_s` (snapshot clock; None before the first decision) on. `order`
    are the names of all points of the bundle, full first: also those that no policy or engine uses at the moment.
    """

    losses: Mapping[str, Losses] = field(default_factory=dict)
    supply: Supply = field(default_factory=Supply)
    climbs: bool = False
    since_s: float | None = None
    seen_s: float | None = None
    order: tuple[str, ...] = ()


def after_loss(losses: Mapping[str, Losses], point: str, supply: Supply) -> Guard:
    """The guard of a run that begins after the power was lost at `point`, with the supply as it was before.

    Volts under the load that failed are no measure: with less load they are higher at once. Those that are first
    seen after the loss, at rest, are taken in their place.
    """
    before = losses.get(point, Losses(0))
    lost = Losses(before.count + 1, replace(supply, volts={}), tries=before.tries)
    return Guard({**losses, point: lost}, climbs=True)


def supply_of(snapshot: Snapshot) -> Supply:
    """What fresh readings say of the supply."""
    source = snapshot.word(POWER_SOURCE)
    volts = {
        name: value
        for name in snapshot.readings
        if name.partition("/")[0] == VOLTAGE and (value := snapshot.number(name)) is not None and value > 0
    }
    return Supply(snapshot.number(BATTERY), None if source is None else source == "external", volts)


def is_better(now: Supply, then: Supply) -> bool:
    """Whether the supply has proved better than it was; what is unknown proves nothing."""
    if now.external is True and then.external is False:
        return True
    if now.percent is not None and then.percent is not None and now.percent >= then.percent + BETTER_PERCENT:
        return True
    return any(now.volts[name] >= BETTER_VOLTS * volts for name, volts in then.volts.items() if name in now.volts)


def observe(guard: Guard, snapshot: Snapshot) -> Guard:
    """The guard after another look at the supply: what it has made good is forgotten."""
    now, at = supply_of(snapshot), snapshot.at
    passed_s = 0.0 if guard.seen_s is None else max(0.0, at - guard.seen_s)
    losses = {
        point: later for point, each in guard.losses.items() if (later := _later(each, now, passed_s)) is not None
    }
    since_s = at if guard.climbs and guard.since_s is None else guard.since_s
    return Guard(losses, _with_unknown(now, guard.supply), guard.climbs, since_s, at, guard.order)


def put_off(guard: Guard, points: Sequence[OperatingPoint]) -> Mapping[str, str]:
    """Those of `points`, full first, that are not to be used now, each with the reason; the last always stays."""
    off: dict[str, str] = {}
    usable = points[:-1]
    order = guard.order or tuple(point.name for point in points)
    booked = [name for name in order if name in guard.losses and guard.losses[name].count >= LOSSES]
    if booked:
        # The cheapest of them, in use or not, may be the last of all: what draws more than that is worse.
        name, found = booked[-1], guard.losses[booked[-1]]
        draws = f"{name} is put off: the power was lost {found.count} times at it{_at(found.supply)}"
        dearest = order[: order.index(name) + 1]
        off |= {each.name: draws for each in usable if each.name in dearest}
    if guard.climbs:
        lasted_s = 0.0 if guard.since_s is None or guard.seen_s is None else max(0.0, guard.seen_s - guard.since_s)
        opened = 1 + int(lasted_s / CLIMB_S)
        shut = usable[: max(0, len(points) - opened)]
        rising = f"the power was lost, so the ladder is climbed again, a point in {CLIMB_S:.0f} s"
        off = {**{each.name: rising for each in shut}, **off}
    return off


def _later(losses: Losses, now: Supply, passed_s: float) -> Losses | None:
    if not losses.supply.volts and now.volts:
        losses = replace(losses, supply=replace(losses.supply, volts=now.volts))
    if is_better(now, losses.supply):
        return None
    if losses.count < LOSSES:
        return losses
    ran_s = losses.ran_s + passed_s
    if ran_s < left_alone_s(losses, now):
        return replace(losses, ran_s=ran_s)
    return replace(losses, count=LOSSES - 1, ran_s=0.0, tries=losses.tries + 1)


def left_alone_s(losses: Losses, now: Supply) -> float:
    """How long the agent has to run without a loss before a point is tried that no better supply has cleared."""
    first_s = TRY_AGAIN_KNOWN_S if _comparable(now, losses.supply) else TRY_AGAIN_S
    return min(LONGEST_S, first_s * 2.0 ** min(losses.tries, 10))


def _comparable(now: Supply, then: Supply) -> bool:
    """Whether the supply could prove better at all: volts alone may not, a regulated supply keeps its own."""
    external = now.external is not None and then.external is False
    percent = (
        now.percent is not None and then.percent is not None and then.percent + BETTER_PERCENT <= _FULL_PERCENT
    )
    return external or percent


def _with_unknown(now: Supply, before: Supply) -> Supply:
    """A sensor that is silent for a moment does not take away what it said."""
    return Supply(
        before.percent if now.percent is None else now.percent,
        before.external if now.external is None else now.external,
        now.volts or before.volts,
    )


def _at(supply: Supply) -> str:
    words = supply.in_words()
    return f" ({words})" if words else ""
