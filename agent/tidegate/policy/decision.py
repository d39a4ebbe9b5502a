"""What a policy chose and why, as data; and what the control loop remembers between two decisions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.policy.brown_out import Guard
from tidegate.policy.flap import Flapping
from tidegate.policy.learned import Learned
from tidegate.policy.policy import NO_LIMIT, Controls, Limit
from tidegate.policy.samples import Samples
from tidegate.policy.sleep import Sleeping


@dataclass(frozen=True, slots=True)
class ControlState:
    """What `decide` needs to know of the past; carried from one decision to the next, never mutated.

    `point` is the operating point now in force, `switched_at` when it came into force (snapshot clock,
    seconds; None before the first switch). `holding` names the conditions that entered and have not reached
    their leave value, by their path in the policy document, for example `rules[0].when.any[1].temperature`;
    `since` says since when a condition has been true, for `for:` durations, and with `?` behind the path when it
    last held only because its reading was missing. `learned` is the model of the device, None before the first
    reading. `samples` are the last ones of the readings that urgent rules look at, `flapping` what is remembered
    of rules that flap, None before the first decision. `guard` is that against brown-outs, None without one.
    `sleeping` while a rule or the goals have it asleep; `woken` are the rules whose sleep is over and that still
    hold, `awake_since` (snapshot clock, s) is when it last woke.
    """

    point: str
    switched_at: float | None = None
    holding: frozenset[str] = frozenset()
    since: Mapping[str, float] = field(default_factory=dict)
    learned: Learned | None = None
    samples: Mapping[str, Samples] = field(default_factory=dict)
    flapping: Flapping | None = None
    guard: Guard | None = None
    sleeping: Sleeping | None = None
    woken: frozenset[str] = frozenset()
    awake_since: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The operating point to be at now, why, and the state to decide from next time.

    `rule` is the name of the rule that held, None for the default. `wanted` is the point the rule and the goals
    ask for; `point` differs while dwell or the one-rung-up limit holds the change back, and `held_back` says so.
    `fits` is False when no certified point satisfies the policy; then `reason` says which answer `no_fit` gave.
    `limit` and `paused` are the last resorts: how much is answered at all. `controls` are the settings
    of the device that the rule wants, whether or not its owner allows them. `flapping` says which rule flaps
    and which point is held for that, empty as long as none does.
    """

    point: str
    wanted: str
    rule: str | None
    urgent: bool
    fits: bool
    reason: str
    held_back: tuple[str, ...]
    state: ControlState
    limit: Limit = NO_LIMIT
    paused: bool = False
    controls: Controls = field(default_factory=dict)
    flapping: str = ""

    @property
    def asleep(self) -> bool:
        """Whether there is to be no worker."""
        return self.state.sleeping is not None

    def changes(self, before: ControlState) -> bool:
        """Whether acting on this decision means a switch."""
        return self.point != before.point
