"""Sleep: a rule ends the worker, and what its `wake` names brings it back. Pure.

Once begun, it lasts until one of these has come, even if the rule has ended meanwhile. Then the rule does not
count until it has ended and begins anew: what was woken is not put to sleep again at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tidegate.policy.policy import Assumption, Sleep, Wake
from tidegate.policy.readings import INPUT
from tidegate_drivers.reading import BATTERY, Snapshot


@dataclass(frozen=True, slots=True)
class Sleeping:
    """Which rule put it to sleep, since when (snapshot clock, s), and until when at most on the wall clock.

    `rule` is empty where the goals did. `asked` once a request has come meanwhile.
    """

    rule: str
    wake: Wake
    since_s: float
    wake_at: datetime | None = None
    asked: bool = False

    @property
    def alone(self) -> bool:
        """Whether nothing but the time wakes it: then the whole system may be suspended until then."""
        return self.wake_at is not None and not self.wake.request and self.wake.input is None

    def in_words(self) -> str:
        """Until when, for a person."""
        until = [] if self.wake_at is None else [self.wake_at.strftime("%H:%M")]
        until += [] if self.wake.battery_above is None else [f"the battery is above {self.wake.battery_above:g} %"]
        until += [] if self.wake.input is None else [f"input {self.wake.input} says something"]
        until += ["a request comes"] if self.wake.request else []
        return f"asleep until {' or '.join(until)}"


def fall_asleep(rule: str, sleep: Sleep, at_s: float, moment: datetime) -> Sleeping:
    """From this moment on, at the snapshot's `at_s`; a time of day that has passed is tomorrow's."""
    return Sleeping(rule, sleep.wake, at_s, next_at(sleep.wake, moment))


def next_at(wake: Wake, moment: datetime) -> datetime | None:
    """When the clock next shows the time to wake at; None where no time is named."""
    if wake.at is None:
        return None
    today = moment.replace(hour=wake.at.hour, minute=wake.at.minute, second=0, microsecond=0)
    return today if today > moment else today + timedelta(days=1)


def woken_by(
    sleeping: Sleeping, snapshot: Snapshot, moment: datetime, battery_missing: Assumption = Assumption.IGNORE
) -> str | None:
    """What has woken it, in words; None while it sleeps on. A battery that can't be read counts as assumed."""
    wake = sleeping.wake
    if wake.request and sleeping.asked:
        return "a request has come"
    if sleeping.wake_at is not None and moment >= sleeping.wake_at:
        return f"it is {sleeping.wake_at:%H:%M}"
    if wake.battery_above is not None:
        percent = snapshot.number(BATTERY)
        if percent is None and battery_missing is Assumption.HIGH:
            return "the battery can't be read, which counts as full"
        if percent is not None and percent > wake.battery_above:
            return f"the battery is at {percent:.0f} %"
    if wake.input is not None:
        reading = snapshot.readings.get(f"{INPUT}/{wake.input}")
        if reading is not None and reading.value is not None and reading.at > sleeping.since_s:
            return f"input {wake.input} has come"
    return None
