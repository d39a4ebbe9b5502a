"""Ladders, snapshots and policies for the tests of the policy, made short to write and random to draw."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from tidegate.models.ladder import Certificate, Figures, Ladder, OperatingPoint, Risk
from tidegate.policy.policy import (
    AllOf,
    AnyOf,
    Assumption,
    Between,
    Bounds,
    Cheapest,
    Dwell,
    Equals,
    Full,
    Goals,
    Level,
    Named,
    NoFit,
    Not,
    Pause,
    Policy,
    Rule,
    Side,
    Threshold,
    Window,
)
from tidegate.policy.readings import UNITS
from tidegate_drivers.reading import THERMAL_PRESSURES, Provenance, Reading, Snapshot, Unit

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NUMBERS = sorted(name for name, unit in UNITS.items() if unit is not Unit.NAME)


def point(name, alpha, energy_mj=None, latency_ms=10.0, memory=1 << 20):
    """An operating point with a certificate at `alpha`, None for none."""
    certificate = None if alpha is None else Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 1000, 0)
    figures = Figures(500, 0.97, 0.01, 0.01, 0.3, 0.7, latency_ms, latency_ms * 2, memory, energy_mj)
    return OperatingPoint(name, "eager", figures, certificate)


LADDER = Ladder(
    (
        point("full", 0.0, 100.0),
        point("a", 0.005, 60.0),
        point("b", 0.01, 30.0),
        point("c", 0.015, None),
        point("d", 0.015, 20.0),
        point("e", None, 5.0),
    )
)


def snapshot(at=0.0, **values):
    """A snapshot of fresh measured values; None for unavailable ones."""
    readings = {}
    for name, value in values.items():
        if value is None:
            readings[name] = Reading.unavailable(UNITS[name], at, "test", "broken")
        else:
            given = float(value) if isinstance(value, int | float) else value
            readings[name] = Reading(given, UNITS[name], at, Provenance.MEASURED, "test")
    return Snapshot(at, readings)


def _threshold(reading, side, enter, gap, for_s):
    leave = enter - gap if side is Side.ABOVE else enter + gap
    return lambda path: Threshold(path, reading, side, enter, leave, for_s)


_thresholds = st.builds(
    _threshold,
    st.sampled_from(NUMBERS),
    st.sampled_from(Side),
    st.floats(-10, 110),
    st.floats(0, 20),
    st.sampled_from([0.0, 0.0, 3.0]),
)
_levels = st.builds(
    lambda enter, gap: (
        lambda path: Level(
            path,
            "thermal_pressure",
            THERMAL_PRESSURES,
            THERMAL_PRESSURES[enter],
            THERMAL_PRESSURES[max(0, enter - gap)],
        )
    ),
    st.integers(1, 3),
    st.integers(1, 2),
)
_sources = st.sampled_from(["battery", "external"]).map(
    lambda word: lambda path: Equals(path, "power_source", word)
)


_days = st.none() | st.frozensets(st.integers(0, 6), min_size=1)
_windows = st.builds(
    lambda start, end, days: lambda path: Window(path, Between(start, end, days)), st.times(), st.times(), _days
)


def _several(kind, parts):
    return lambda path: kind(tuple(part(f"{path}[{index}]") for index, part in enumerate(parts)))


conditions = st.recursive(
    _thresholds | _levels | _sources | _windows,
    lambda inner: st.one_of(
        st.builds(_several, st.sampled_from([AnyOf, AllOf]), st.lists(inner, min_size=1, max_size=3)),
        inner.map(lambda part: lambda path: Not(part(f"{path}.not"))),
    ),
    max_leaves=4,
)
_bound = st.none() | st.sampled_from([0.0, 0.5, 3.0, 10.0, 1e9])
uses = st.one_of(
    st.just(Full()),
    st.just(Pause()),
    st.just(Cheapest()),
    st.sampled_from([*"abcdexy"]).map(Named),
    st.builds(Bounds, st.none() | st.sampled_from([0.0, 0.005, 0.01, 0.02]), _bound, _bound, _bound),
)
_betweens = st.none() | _windows.map(lambda window: window("between"))


goals = st.builds(
    Goals,
    st.none() | st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    st.sampled_from([0.0, 10.0, 100.0]),
    st.none() | st.sampled_from([1.0, 5e4, 1e6]),
    st.none() | st.sampled_from([0.5, 15.0, 100.0]),
    st.none() | st.floats(-20, 120),
)


@st.composite
def policies(draw):
    """Any valid policy of up to four rules."""
    rules = []
    for index in range(draw(st.integers(0, 4))):
        when = draw(st.none() | conditions)
        made = None if when is None else when(f"rules[{index}].when")
        rules.append(Rule(f"r{index}", draw(uses), made, draw(_betweens), draw(st.booleans())))
    return Policy(
        name="drawn",
        version=1,
        max_accuracy_loss=draw(st.sampled_from([0.0, 0.005, 0.01, 0.02, 1.0])),
        rules=tuple(rules),
        default=draw(uses),
        dwell=Dwell(draw(st.sampled_from([0.0, 2.0, 5.0])), draw(st.sampled_from([0.0, 4.0, 60.0]))),
        on_missing=draw(st.dictionaries(st.sampled_from(sorted(UNITS)), st.sampled_from(Assumption))),
        no_fit=draw(st.sampled_from(NoFit)),
        goals=draw(goals),
    )


@st.composite
def ladders(draw):
    """Any ladder of up to six points, certified or not, in any order of risk, with or without figures."""
    names = draw(st.permutations(["full", *"abcde"]))[: draw(st.integers(1, 6))]
    alphas = st.none() | st.sampled_from([0.0, 0.005, 0.01, 0.015, 0.5])
    costs = st.none() | st.sampled_from([0.0, 5.0, 50.0])
    times = st.sampled_from([0.0, 1.0, 10.0])
    return Ladder(tuple(point(name, draw(alphas), draw(costs), draw(times)) for name in names))


@st.composite
def snapshots(draw, at=None):
    """Any snapshot: each reading absent, unavailable, stale, odd, or fresh."""
    moment = draw(st.floats(0, 1e6)) if at is None else at
    readings = {}
    for name, unit in UNITS.items():
        if unit is Unit.NAME:
            values = st.none() | st.sampled_from([*THERMAL_PRESSURES, "battery", "external", "no such word"])
        else:
            values = st.none() | st.floats(-20, 120) | st.sampled_from([float("nan"), float("inf"), float("-inf")])
        if draw(st.booleans()):
            value = draw(values)
            provenance = Provenance.UNAVAILABLE if value is None else Provenance.MEASURED
            age = draw(st.sampled_from([0.0, 100.0]))
            readings[name] = Reading(value, unit, moment - age, provenance, "drawn")
    return Snapshot(moment, readings)
