"""Ridge regression: the same fit from sums over inputs and from products of rows."""

import numpy as np
import pytest

from tidegate.calibration.fit.ridge import DualRegression, Regression, regression_of


@pytest.mark.parametrize("rows", [2, 20, 60])
@pytest.mark.parametrize("ridge", [1e-2, 1e-1])
def test_products_of_rows_give_the_fit_that_sums_give(rows: int, ridge: float) -> None:
    random = np.random.default_rng(rows)
    x = random.normal(size=(rows, 30)).astype(np.float32)
    y = random.normal(loc=-1, size=(rows, 4)).astype(np.float32)
    sums = Regression(30, 4)
    sums.add(x, y)
    by_sums, by_rows = sums.linear(ridge), DualRegression(x, y).linear(ridge)
    np.testing.assert_allclose(by_rows.weight, by_sums.weight, atol=1e-3)
    np.testing.assert_allclose(by_rows(x), by_sums(x), atol=1e-3)


def test_fewer_rows_than_inputs_are_fitted_by_their_products() -> None:
    x = np.ones((5, 8), np.float32)
    assert isinstance(regression_of(x, x), DualRegression)
    assert isinstance(regression_of(x.T, x.T), Regression)


def test_inputs_that_never_change_get_no_weight() -> None:
    x, y = np.ones((3, 8), np.float32), np.arange(3, dtype=np.float32)[:, None]
    found = DualRegression(x, y).linear()
    assert np.array_equal(found.weight, np.zeros((1, 8)))
    assert found.bias == pytest.approx(1)
