"""Verifying a bundle by running it: do its canaries get the answers they got at calibration, on this machine?

In engines, not in models, because it runs the model, on the engine it was certified on where that is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.engines.plan.quantization import MissingRange
from tidegate.engines.runtime.installed import UnknownEngine, installed_engines, installed_version
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.errors import BundleError

OUTPUT_TOLERANCE = 1e-3
"""Largest relative difference of the full point's outputs: other processors sum in other orders (about 1e-5
seen), a wrong weight or operator shows in the first digits."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `ok` is None when it could not be, and `detail` says why."""

    name: str
    ok: bool | None
    detail: str


def verify(path: Path) -> tuple[Check, ...]:
    """What holds of a bundle directory: its contents, then its canaries at each point. Faults fail a check."""
    try:
        bundle = open_bundle(path)
        bundle.canaries()
        bundle.samples()
    except BundleError as error:
        return (Check("contents", False, str(error)),)
    contents = Check(
        "contents", True, f"{bundle.model}: {len(bundle.segments)} segments, {len(bundle.ladder.points)} points"
    )
    try:
        engines = _engines_for(bundle)
    except UnknownEngine as error:
        return contents, Check("canaries", None, f"nothing was run: {error}")
    except (BundleError, UnsupportedPoint) as error:
        return contents, Check("canaries", False, str(error))
    return contents, *_canary_checks(bundle, engines)


def _runtime_checks(bundle: Bundle) -> list[Check]:
    """Certificates were counted with one release of each engine's runtime; another may round otherwise."""
    checks = []
    for engine, stated in bundle.calibration.engines.items():
        runtime, _, made = stated.partition(" ")
        found = installed_version(runtime)
        # `2.13.0+cpu` and `2.13.0` are one release, built for different accelerators.
        same = None if found is None else found.partition("+")[0] == made.partition("+")[0]
        checks.append(Check(f"runtime of {engine}", same, f"calibrated with {stated}, here is {found or 'none'}"))
    return checks


def _engines_for(bundle: Bundle) -> dict[str, Engine]:
    """By the engines that points name: that engine where it is installed, else one that will refuse them."""
    installed = installed_engines()
    named = dict.fromkeys(point.engine for point in bundle.ladder.points)
    return {name: open_engine(name if name in installed else installed[0], bundle) for name in named}


def _canary_checks(bundle: Bundle, engines: Mapping[str, Engine]) -> tuple[Check, ...]:
    canaries = bundle.canaries()
    checks = _runtime_checks(bundle)
    for point in bundle.ladder.points:
        try:
            outputs = engines[point.engine].prepare(point).run(canaries.inputs).outputs
        except MissingRange as error:
            checks.append(Check(f"canaries at {point.name}", False, str(error)))
            continue
        except UnsupportedPoint as error:
            checks.append(Check(f"canaries at {point.name}", None, f"not run: {error}"))
            continue
        agreement = canaries.agreement(point.name, outputs)
        checks.append(
            Check(f"canaries at {point.name}", agreement == 1, f"{agreement:.0%} answered as at calibration")
        )
        if point is bundle.ladder.full:
            scale = float(np.abs(canaries.outputs).max())
            difference = float(np.abs(outputs - canaries.outputs).max()) / scale
            detail = f"differ by up to {difference:.1e} of their range; allowed is {OUTPUT_TOLERANCE:.0e}"
            checks.append(Check("outputs at full", difference <= OUTPUT_TOLERANCE, detail))
    return tuple(checks)
