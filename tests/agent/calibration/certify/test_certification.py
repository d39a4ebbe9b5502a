"""The exact test against exact fractions, and whether the promise holds over many draws."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from failures import failures_allowed

from tidegate.calibration.certify.certification import certify, reachable
from tidegate.models.exact_test import binomial_cdf, samples_needed
from tidegate.models.ladder import Risk

ALPHAS = (0.01, 0.015, 0.03, 0.05, 0.1)


def exact_cdf(k: int, n: int, p: Fraction) -> float:
    return float(sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1)))


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 1, "1/2"), (0, 600, "1/100"), (8, 600, "3/100"), (600, 600, "1/10")]
)
def test_binomial_cdf_is_exact(k: int, n: int, p: str) -> None:
    assert binomial_cdf(k, n, float(Fraction(p))) == pytest.approx(exact_cdf(k, n, Fraction(p)), rel=1e-10)


@pytest.mark.parametrize(("n", "allowed"), [(198, None), (199, 0), (500, 2), (1000, 8), (2000, 20)])
def test_failures_allowed_at_one_and_a_half_percent(n: int, allowed: int | None) -> None:
    assert failures_allowed(n, 0.015, 0.05) == allowed


def test_samples_needed_is_the_first_n_that_certifies() -> None:
    for alpha in (0.005, 0.015, 0.1):
        least = samples_needed(alpha, 0.05)
        assert failures_allowed(least, alpha, 0.05) == 0
        assert failures_allowed(least - 1, alpha, 0.05) is None


def test_each_point_gets_the_smallest_alpha_it_holds() -> None:
    found = certify([0, 0, 2, 8, 300], 600, ALPHAS, 0.05)
    assert [c and c.alpha for c in found.certificates] == [0.01, 0.01, 0.015, 0.03, None]
    assert found.certificates[3] is not None
    assert (found.certificates[3].failures, found.certificates[3].n, found.certificates[3].delta) == (8, 600, 0.05)
    assert found.certificates[3].risk is Risk.NEWLY_WRONG
    assert found.not_certifiable == ()


def test_testing_stops_at_the_first_failure() -> None:
    found = certify([0, 300, 0], 600, ALPHAS, 0.05)
    assert [c and c.alpha for c in found.certificates] == [0.01, None, None]


def test_alphas_out_of_reach_are_named_with_the_n_they_need() -> None:
    found = certify([0], 100, (0.01, 0.05), 0.05)
    assert [c and c.alpha for c in found.certificates] == [0.05]
    assert found.not_certifiable == ((0.01, samples_needed(0.01, 0.025)),)


def test_alphas_out_of_reach_leave_their_share_to_the_others() -> None:
    # 1.5 % needs 290 inputs with a quarter of delta, 271 with a third.
    assert reachable((0.01, 0.015, 0.03, 0.05), 280, 0.05) == (0.015, 0.03, 0.05)
    found = certify([0, 200], 280, (0.01, 0.015, 0.03, 0.05), 0.05)
    assert found.certificates[0] is not None
    assert found.certificates[0].alpha == 0.015
    # With what 280 inputs leave to it, 1 % would need as many as with all four.
    assert found.not_certifiable == ((0.01, samples_needed(0.01, 0.0125)),)
    assert certify([0], 299, (0.01,), 0.05).certificates[0] is not None
    assert certify([0], 20, (0.01, 0.05), 0.05).certificates == (None,)


def test_a_chain_passed_to_its_end_hands_its_share_on() -> None:
    # 3 failures of 600 at 1.5 %: 2.2 %, too much for a quarter of 5 % and not for a third.
    assert binomial_cdf(3, 600, 0.015) == pytest.approx(0.0207, abs=1e-3)
    stopped, through = certify([3, 300], 600, (0.015, 0.05), 0.03), certify([3, 4], 600, (0.015, 0.05), 0.03)
    assert [c and c.alpha for c in stopped.certificates] == [0.05, None]
    assert [c and c.alpha for c in through.certificates] == [0.015, 0.05]


def test_certificates_loosen_down_the_chain() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        failures = sorted(rng.integers(0, 80, size=8).tolist())
        alphas = [1.0 if c is None else c.alpha for c in certify(failures, 600, ALPHAS, 0.05).certificates]
        assert alphas == sorted(alphas)


@pytest.mark.parametrize(("failures", "alphas"), [([7], (0.1,)), ([-1], (0.1,)), ([0], (0.2, 0.1)), ([0], (0.0,))])
def test_nonsense_is_refused(failures: list[int], alphas: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        certify(failures, 6, alphas, 0.05)


@pytest.mark.parametrize("length", [1, 3, 5])
def test_the_promise_holds_for_all_points_and_alphas_at_once(length: int) -> None:
    """True risks just above each alpha, the hardest case; a draw is violated if any certificate is false."""
    risks = np.array([0.0101, 0.0151, 0.0301, 0.0501, 0.1001])
    rng = np.random.default_rng(1)
    draws = 2000
    violated = 0
    for _ in range(draws):
        # One uniform number per sample makes the failures nested, as they are along a real chain.
        uniform = rng.random(600)
        failures = [int((uniform < risk).sum()) for risk in risks]
        # Now and then the last alphas are through, and their shares go to the first.
        certificates = certify(failures[:length], 600, ALPHAS, 0.05).certificates
        violated += any(c is not None and c.alpha < risk for c, risk in zip(certificates, risks, strict=False))
    margin = 3 * (0.05 * 0.95 / draws) ** 0.5
    assert violated / draws <= 0.05 + margin
    assert violated > 0, "risks this close to alpha are certified now and then, else the test shows nothing"
