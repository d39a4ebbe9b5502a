"""What the control benchmark plays: the scripted traces with their devices and goals, and random ones."""

import itertools
import math
import random
from dataclasses import dataclass, replace
from datetime import time
from pathlib import Path

from tidegate.boards.device import Device
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.policy.policy import Goals, Panel
from tidegate.simulation.ladder_document import load_ladder
from tidegate.simulation.run import Act, simulate
from tidegate.simulation.scenario import Scenario
from tidegate_drivers.trace import ReplayTrace

CAMERA = Device("camera", idle_w=1.6, active_w=3.2, battery_wh=75.0, heat_k_per_w=6.5, heat_span_s=420.0)
"""A small board with a battery, assumed: at 10 requests a second the full model takes half of the draw."""
GATEWAY = replace(CAMERA, name="gateway", battery_wh=None, heat_k_per_w=8.0, heat_span_s=600.0)
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Case:
    """A day, the device as its profile states it and as it really is, and what is wanted of it."""

    name: str
    scenario: Scenario
    stated: Device
    true: Device
    goals: Goals


def scripted(name: str) -> Case:
    """One of the traces that come with tidegate."""
    device, goals = _SCRIPTED[name]
    return _case(ReplayTrace.load(profiles_directory() / "traces" / f"{name}.csv"), device, goals)


def of_file(path: Path) -> Case:
    """Any trace: a camera that is to last until the trace ends, below 70 C."""
    trace = ReplayTrace.load(path)
    ends_s = (trace.clock_s + trace.duration_s) % _DAY_S
    until = time(int(ends_s // 3600), int(ends_s % 3600 // 60))
    return _case(trace, CAMERA, Goals(until, 2.0, temperature_ceiling_c=70.0))


def random_case(seed: int, index: int) -> Case:
    """A day that nobody wrote: weather, sockets, crowds, silent sensors, a device off its profile, by chance."""
    rng = random.Random(f"{seed}/{index}")  # noqa: S311 - cases, not secrets
    has_battery = rng.random() < 0.8
    stated = replace(CAMERA if has_battery else GATEWAY, battery_wh=rng.uniform(45, 90) if has_battery else None)
    ambient_c = _walk(rng, rng.uniform(0, 38), 6.0, (-15.0, 48.0))
    loads_hz = _levels(rng, [0.5, 2.0, 5.0, 8.0, 12.0, 20.0, 35.0], 300, 7200)
    competing = _levels(rng, [0.0, 0.0, 0.15, 0.4], 600, 7200)
    if not has_battery:
        supply_w = [30.0] * _DAY_S
        goals = Goals(temperature_ceiling_c=rng.uniform(60, 75))
    else:
        supply_w, panel = _supply(rng)
        goals = Goals(time(), 2.0, temperature_ceiling_c=rng.choice([65.0, 70.0, 80.0]), panel=panel)
    if rng.random() < 0.3:
        goals = replace(goals, latency_p95_ms=rng.choice([40.0, 60.0, 90.0]))
    silent = rng.random() < 0.3
    lost = [frozenset[str]()] * _DAY_S
    if silent:
        begins = rng.randrange(_DAY_S - 7200)
        span = slice(begins, begins + rng.randrange(600, 7200))
        lost[span] = [frozenset({rng.choice(["temperature", "battery", "power"])})] * len(lost[span])
    percent = float(rng.randint(40, 100))
    scenario = Scenario(f"fresh-{seed}-{index}", 0.0, ambient_c, supply_w, loads_hz, competing, lost, percent)
    true = _off_profile(stated, rng)
    if has_battery:
        ends_s = _reach_s(scenario, true, rng)
        # A day that goes on past its deadline would weigh answers against a goal that nobody stated.
        scenario = scenario.until(ends_s)
        goals = replace(goals, battery_until=time(ends_s // 3600 % 24, ends_s % 3600 // 60))
    return Case(scenario.name, scenario, stated, true, goals)


def _reach_s(scenario: Scenario, device: Device, rng: random.Random) -> int:
    """How long the battery lasts at some point of the ladder, full minutes: people want what can be had."""
    point = rng.choice(reference_ladder().points[2:])
    run = simulate("reach", lambda _: Act(point), scenario, device, Goals())
    charges = ((each.second, each.battery_percent or 0.0) for each in run.diary)
    empty_s = next((second for second, percent in charges if percent < 1), scenario.seconds)
    return max(3600, empty_s // 60 * 60)


def reference_ladder() -> Ladder:
    """The assumed ladder that the benchmark is played with."""
    path = profiles_directory() / "ladders" / "camera.yaml"
    return load_ladder(path.read_text(), path.name)


def _case(trace: ReplayTrace, device: Device, goals: Goals) -> Case:
    true = _off_profile(device, random.Random(trace.name))  # noqa: S311 - a fixed device for each trace
    return Case(trace.name, Scenario.of(trace, device), device, true, goals)


def _off_profile(device: Device, rng: random.Random) -> Device:
    """The device as it is: parts scatter, and profiles are estimates."""
    return replace(
        device,
        idle_w=device.idle_w * rng.uniform(0.85, 1.15),
        active_w=device.active_w * rng.uniform(0.8, 1.25),
        battery_wh=None if device.battery_wh is None else device.battery_wh * rng.uniform(0.85, 1.0),
        heat_k_per_w=device.heat_k_per_w * rng.uniform(0.85, 1.15),
        heat_span_s=device.heat_span_s * rng.uniform(0.7, 1.3),
    )


def _walk(rng: random.Random, start: float, step: float, limits: tuple[float, float]) -> list[float]:
    """Straight lines between points two hours apart."""
    corners = [start]
    for _ in range(_DAY_S // 7200):
        corners.append(min(limits[1], max(limits[0], corners[-1] + rng.uniform(-step, step))))
    shares = [second / 7200 for second in range(7200)]
    return [low + (high - low) * share for low, high in itertools.pairwise(corners) for share in shares]


def _levels(rng: random.Random, levels: list[float], shortest_s: int, longest_s: int) -> list[float]:
    values: list[float] = []
    while len(values) < _DAY_S:
        values += [rng.choice(levels) * rng.uniform(0.8, 1.2)] * rng.randint(shortest_s, longest_s)
    return values[:_DAY_S]


def _supply(rng: random.Random) -> tuple[list[float], Panel | None]:
    match rng.choice(["none", "socket", "sun"]):
        case "none":
            return [0.0] * _DAY_S, None
        case "socket":
            plugged = _levels(rng, [0.0, 0.0, 0.0, 1.0], 600, 14_400)
            return [45.0 if value > 0 else 0.0 for value in plugged], None
        case _:
            panel = Panel(rng.uniform(6, 14))
            clouds = _levels(rng, [0.3, 0.7, 1.0, 1.0], 600, 5400)
            suns = (max(0.0, math.sin(math.pi * (second / 3600 - 6) / 13)) for second in range(_DAY_S))
            peak_w = panel.peak_w * rng.uniform(0.8, 1.0)
            return [peak_w * cloud * sun for cloud, sun in zip(clouds, suns, strict=True)], panel


_LASTS_A_DAY = Goals(None, 2.0, temperature_ceiling_c=75.0)
_TO_SUNRISE = replace(_LASTS_A_DAY, battery_until=time(6), panel=Panel(7.5))
_SCRIPTED = {
    "commute": (replace(CAMERA, battery_wh=30.0), replace(_LASTS_A_DAY, battery_until=time(21))),
    "solar-day": (
        replace(CAMERA, battery_wh=50.0),
        replace(_LASTS_A_DAY, battery_until=time(6), panel=Panel(9.5)),
    ),
    "heat-wave": (GATEWAY, Goals(temperature_ceiling_c=70.0)),
    "plug-flapping": (replace(CAMERA, battery_wh=46.0), replace(_LASTS_A_DAY, battery_until=time())),
    "cold-battery": (replace(CAMERA, battery_wh=72.0), replace(_LASTS_A_DAY, battery_until=time(8))),
    "sensor-loss": (CAMERA, Goals(time(8), 2.0, temperature_ceiling_c=65.0)),
    "load-bursts": (CAMERA, Goals(time(7), 2.0, latency_p95_ms=100.0, temperature_ceiling_c=65.0)),
    "idle": (replace(CAMERA, battery_wh=46.0), replace(_LASTS_A_DAY, battery_until=time())),
    "metered-day": (GATEWAY, Goals(energy_per_day_j=62 * 3600.0, temperature_ceiling_c=75.0)),
}
SCRIPTED = tuple(_SCRIPTED)
