"""A policy on a simulated device through a day, before it reaches a real one."""

from pathlib import Path

from tidegate.api.opened import opened_bundle, opened_policy
from tidegate.boards import find_profile
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import Ladder
from tidegate.policy.policy import Policy
from tidegate.simulation.run import Run, by_policy
from tidegate.simulation.run import simulate as run_policy
from tidegate.simulation.scenario import Scenario
from tidegate_drivers.trace import ReplayTrace


def simulate(
    policy: Policy | Path | str,
    trace: ReplayTrace | Path | str,
    bundle: Ladder | Bundle | Path | str,
    *,
    device: str = "field-box",
    requests_hz: float | None = None,
) -> Run:
    """Play a day (a scripted or recorded CSV) with the service's own decisions over a bundle's ladder.

    `device` is a ready board profile's name or a path that ends in .yaml: its battery, heat and power are
    estimates, and so is everything that comes out. `requests_hz` is the load where the trace has none. Raises
    DocumentError, TraceError, BundleError.
    """
    profile = find_profile(device)
    opened = opened_policy(policy, device)
    played = trace if isinstance(trace, ReplayTrace) else ReplayTrace.load(Path(trace))
    ladder = bundle if isinstance(bundle, Ladder) else opened_bundle(bundle).ladder
    scenario = Scenario.of(played, profile.device, requests_hz)
    return run_policy(
        opened.name, by_policy(opened, ladder, profile.device), scenario, profile.device, opened.goals
    )
