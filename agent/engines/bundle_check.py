"""Verifying a bundle by running it: do its canaries get the answers they got at calibration, on this machine?

In engines, not in models, because it runs the model; torch is imported only when there is something to run.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.models.bundle import Bundle, open_bundle
from agent.models.errors import BundleError

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
    if importlib.util.find_spec("torch") is None:
        return contents, Check("canaries", None, "torch is not installed, so nothing was run")
    return contents, *_canary_checks(bundle)


def _torch_check(bundle: Bundle) -> Check:
    """Certificates were counted with the arithmetic of one torch release; another may round otherwise."""
    import torch  # noqa: PLC0415 - a device may not have it

    found, made = (version.partition("+")[0] for version in (str(torch.__version__), bundle.calibration.torch))
    return Check("torch", found == made, f"calibrated with {made}, here is {found}")


def _canary_checks(bundle: Bundle) -> tuple[Check, ...]:
    from agent.engines.eager import EagerEngine  # noqa: PLC0415 - imports torch, which a device may not have

    try:
        engine = EagerEngine(bundle)
    except BundleError as error:
        return (Check("canaries", False, str(error)),)
    canaries = bundle.canaries()
    checks = [_torch_check(bundle)]
    for point in bundle.ladder.points:
        outputs = engine.prepare(point).run(canaries.inputs).outputs
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
