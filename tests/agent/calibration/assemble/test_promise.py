"""The promise on real data: the shipped ladder's points, certified anew on hundreds of other draws of digits.

All images that the net was not trained on and the search did not see are taken as the whole population, so that
each point's true risk is known exactly. Certify parts are drawn from it with replacement: independent draws, as
the exact binomial test assumes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tidegate.calibration.assemble.plan import ALPHAS, DELTA
from tidegate.calibration.certify.certification import certify
from tidegate.calibration.certify.outcomes import Outcomes
from tidegate.calibration.certify.risk import DISAGREEMENT, NEWLY_WRONG, RiskMeasure
from tidegate.calibration.data.digits.data import SCALE, load_split
from tidegate.calibration.data.split import Part
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle

SHIPPED = Path(__file__).parents[4] / "profiles" / "bundles" / "digits"
DRAWS = 400
CERTIFY = 600

Masks = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def outcomes(risk: RiskMeasure) -> Masks:
    """Failures of every point on the population, (points, samples)."""
    bundle = open_bundle(SHIPPED)
    split = load_split(bundle.built.seed)
    rest = [split.certify, split.report]
    everything = Part(
        *(np.concatenate(values) for values in zip(*((p.inputs, p.labels, p.indices) for p in rest), strict=True))
    )
    points = [replace(point, engine="eager") for point in bundle.ladder.points]
    counted = Outcomes(EagerEngine(bundle), points[0], everything, SCALE, risk)
    return np.stack([counted.failed(point) for point in points])


@pytest.fixture(scope="module", params=[NEWLY_WRONG, DISAGREEMENT], ids=lambda risk: risk.kind)
def failed(request: pytest.FixtureRequest) -> Masks:
    return outcomes(request.param)


def violations(failed: Masks, alphas: tuple[float, ...], *, exact: bool) -> float:
    """Share of draws after which any certificate is false of the population."""
    rng = np.random.default_rng(0)
    true_risk = failed[1:].mean(1)
    false = 0
    for _ in range(DRAWS):
        drawn = failed[1:, rng.integers(0, failed.shape[1], CERTIFY)]
        counts = drawn.sum(1)
        if exact:
            found = certify([int(count) for count in counts], CERTIFY, alphas, DELTA).certificates
            held = [None if certificate is None else certificate.alpha for certificate in found]
        else:
            held = [next((a for a in alphas if count / CERTIFY <= a), None) for count in counts]
        false += any(alpha is not None and risk > alpha for alpha, risk in zip(held, true_risk, strict=True))
    return false / DRAWS


def test_certificates_are_false_no_more_often_than_promised(failed: Masks) -> None:
    margin = 3 * np.sqrt(DELTA * (1 - DELTA) / DRAWS)
    assert violations(failed, ALPHAS, exact=True) <= DELTA + margin


def test_alphas_just_below_true_risks_are_the_hardest_and_hold_too(failed: Masks) -> None:
    """With alphas chosen just short of each point's true risk, every certificate at them would be false."""
    margin = 3 * np.sqrt(DELTA * (1 - DELTA) / DRAWS)
    hardest = tuple(sorted({float(risk) * 0.999 for risk in failed[1:].mean(1) if risk > 0}))
    assert hardest
    assert violations(failed, hardest, exact=True) <= DELTA + margin


def test_taking_the_observed_share_for_the_risk_would_break_it(failed: Masks) -> None:
    """So the tests above can fail: without the binomial tail the same draws give false certificates."""
    hardest = tuple(sorted({float(risk) * 0.999 for risk in failed[1:].mean(1) if risk > 0}))
    assert violations(failed, hardest, exact=False) > 4 * DELTA
