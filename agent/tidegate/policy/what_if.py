"""What a policy would do if some readings were others: the same `decide`, played on until it settles. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.models.ladder import Ladder
from tidegate.policy.conditions import LOST, SETTLED_S
from tidegate.policy.decide import decide
from tidegate.policy.decision import ControlState, Decision
from tidegate.policy.policy import Policy
from tidegate.policy.readings import UNITS
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit, Value

LONGEST_STEP_S = 5.0
HORIZON_S = 1200.0
"""How far it is played on: longer than dwells and all but the longest `for:` take."""
BELIEVED_S = 2.0
"""By then an urgent rule has had the samples that it believes a jump by (policy/samples.py)."""
SOURCE = "what if"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """`at_once` is the point that the next decision leads to, `point` the one it ends at `after_s` later.

    `after_s` is None where nothing has settled within HORIZON_S. `sentence` says the same for a person.
    """

    at_once: str
    point: str
    after_s: float | None
    rule: str | None
    reason: str
    fits: bool
    paused: bool
    sentence: str


def what_if(
    values: Mapping[str, Value],
    snapshot: Snapshot,
    policy: Policy,
    ladder: Ladder,
    state: ControlState,
    now: datetime,
) -> WhatIf:
    """What follows from these values for ever, at this time of day, with all else as it is. Pure and total."""
    played = [(0.0, decide(_imagined(snapshot, values, 0.0), policy, ladder, state, now))]
    while (later_s := played[-1][0]) < HORIZON_S and (
        later_s < BELIEVED_S or not _settled(played[-1][1], policy, snapshot.at + later_s)
    ):
        later_s += min(max(1.0, later_s), LONGEST_STEP_S)
        # What was learned of the device must not learn from a day that never was.
        before = replace(played[-1][1].state, learned=state.learned)
        played.append((later_s, decide(_imagined(snapshot, values, later_s), policy, ladder, before, now)))
    first, (later_s, last) = played[0][1], played[-1]
    elsewhere_s = [each_s for each_s, each in played if each.point != last.point]
    arrived_s = next(each_s for each_s, _ in played if not elsewhere_s or each_s > elsewhere_s[-1])
    found = WhatIf(
        at_once=first.point,
        point=last.point,
        after_s=arrived_s if _settled(last, policy, snapshot.at + later_s) else None,
        rule=last.rule,
        reason=last.reason,
        fits=last.fits,
        paused=last.paused,
        sentence="",
    )
    return replace(found, sentence=_sentence(found, state.point, asleep=last.asleep))


def _settled(decision: Decision, policy: Policy, at: float) -> bool:
    """Whether time alone changes nothing any more: no dwell, no `for:`, no assumption is left."""
    since = decision.state.since
    waits = any(at - since.get(leaf.path, -math.inf) < leaf.for_s for leaf, *_ in policy.thresholds)
    doubts = any(0 < at - begun < SETTLED_S for path, begun in since.items() if path.endswith(LOST))
    return decision.asleep or (decision.point == decision.wanted and not (waits or doubts))


def _imagined(snapshot: Snapshot, values: Mapping[str, Value], later_s: float) -> Snapshot:
    """The snapshot that much later: readings that were fresh still are, and those of `values` are."""
    at = snapshot.at + later_s
    readings = {name: replace(reading, at=reading.at + later_s) for name, reading in snapshot.readings.items()}
    for name, value in values.items():
        known = readings.get(name)
        unit = UNITS.get(name, Unit.COUNT) if known is None else known.unit
        readings[name] = Reading(value, unit, at, Provenance.ESTIMATED, SOURCE)
    return Snapshot(at, readings)


def _sentence(found: WhatIf, now_at: str, *, asleep: bool) -> str:
    why = f"rule '{found.rule}': {found.reason}" if found.rule is not None else found.reason
    if asleep:
        return f"It would sleep ({why})."
    if found.paused:
        return f"It would answer no requests ({why})."
    if found.point == now_at:
        change = f"It would stay at {now_at}"
    elif found.after_s == 0:
        change = f"It would switch from {now_at} to {found.point} at once"
    elif found.after_s is None:
        change = f"It would be at {found.point} after twenty minutes, and may not stay there"
    else:
        change = f"It would be at {found.point} after about {_duration(found.after_s)}"
    if found.at_once not in {now_at, found.point}:
        change += f", by way of {found.at_once}"
    unfit = "" if found.fits else "; no certified point fits"
    return f"{change} ({why}{unfit})."


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
