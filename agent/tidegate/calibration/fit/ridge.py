"""Linear least squares in closed form, from sums that are gathered batch by batch: no rows are kept."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.models.network import WeightArray

Rows = npt.NDArray[np.float32]
_Sums = npt.NDArray[np.float64]

RIDGE = 1e-3
"""Penalty on the weights against the inputs' mean variance: enough to settle directions that no data shows."""


@dataclass(frozen=True, slots=True)
class Linear:
    """y = weight x + bias; weight (outputs, inputs), bias (outputs,)."""

    weight: WeightArray
    bias: WeightArray

    def __call__(self, x: Rows) -> Rows:
        """y (n, outputs) of x (n, inputs)."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True, slots=True)
class Affine:
    """y = scale x + shift, channel by channel; both (channels,)."""

    scale: WeightArray
    shift: WeightArray


@dataclass(frozen=True, slots=True)
class LowRank:
    """y = up (down x) + bias; down (rank, inputs), up (outputs, rank), bias (outputs,)."""

    down: WeightArray
    up: WeightArray
    bias: WeightArray


class Regression:
    """Of rows y (n, outputs) on rows x (n, inputs), with an intercept."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self._n = 0
        self._x = np.zeros(inputs)
        self._y = np.zeros(outputs)
        self._xx = np.zeros((inputs, inputs))
        self._xy = np.zeros((inputs, outputs))

    def add(self, x: Rows, y: Rows) -> None:
        """Add rows x (n, inputs) and y (n, outputs) to the sums."""
        self._n += len(x)
        self._x += x.sum(0, dtype=np.float64)
        self._y += y.sum(0, dtype=np.float64)
        self._xx += (x.T @ x).astype(np.float64)
        self._xy += (x.T @ y).astype(np.float64)

    def linear(self, ridge: float = RIDGE) -> Linear:
        """The ridge fit; the intercept is not penalised. At least one row must have been added."""
        weight = self._weight(ridge)
        return Linear(_f32(weight), _f32(self._intercept(weight)))

    def affine(self, ridge: float = RIDGE) -> Affine:
        """The fit of each output on the input of the same index alone; as many outputs as inputs."""
        variance = np.diag(self._variance())
        penalty = ridge * variance.mean()
        divisor = np.where(variance + penalty > 0, variance + penalty, 1.0)
        scale: _Sums = np.diag(self._covariance()) / divisor
        return Affine(_f32(scale), _f32((self._y - scale * self._x) / self._n))

    def low_rank(self, rank: int, ridge: float = RIDGE) -> LowRank:
        """The fit of that rank with the least penalised error: the ridge fit cut along its fitted values' axes."""
        penalised = self._penalised(ridge)
        full = self._weight(ridge).T
        # Fitted values have the covariance full.T @ penalised @ full; its leading axes lose the least.
        _, axes = np.linalg.eigh(full.T @ penalised @ full)
        up = np.asarray(axes[:, ::-1][:, :rank], np.float64)
        down = np.asarray((full @ up).T, np.float64)
        return LowRank(_f32(down), _f32(up), _f32(self._intercept(up @ down)))

    def _weight(self, ridge: float) -> _Sums:
        solved = np.linalg.solve(self._penalised(ridge), self._covariance())
        return np.asarray(solved.T, np.float64)

    def _variance(self) -> _Sums:
        return self._xx / self._n - np.outer(self._x, self._x) / self._n**2

    def _covariance(self) -> _Sums:
        return self._xy / self._n - np.outer(self._x, self._y) / self._n**2

    def _penalised(self, ridge: float) -> _Sums:
        variance = self._variance()
        penalty = ridge * np.trace(variance) / len(variance)
        penalised: _Sums = variance + max(penalty, np.finfo(np.float64).tiny) * np.eye(len(variance))
        return penalised

    def _intercept(self, weight: _Sums) -> _Sums:
        bias: _Sums = (self._y - weight @ self._x) / self._n
        return bias


class DualRegression:
    """The same on rows x (n, inputs) and y (n, outputs) that are all at hand.

    From the products of rows with rows: cheap where there are fewer rows than inputs, and at any number of
    penalties (Saunders, Gammerman and Vovk, Ridge Regression Learning Algorithm in Dual Variables, 1998).
    """

    def __init__(self, x: Rows, y: Rows) -> None:
        self._x_mean, self._y_mean = (rows.mean(0, dtype=np.float64) for rows in (x, y))
        self._x = x - self._x_mean
        products = self._x @ self._x.T / len(x)
        self._variance = float(np.trace(products)) / x.shape[1]
        values, self._axes = np.linalg.eigh(products)
        self._values = np.maximum(values, 0.0)
        self._y = self._axes.T @ (y - self._y_mean) / len(x)

    def linear(self, ridge: float = RIDGE) -> Linear:
        """The ridge fit; the intercept is not penalised."""
        penalty = max(ridge * self._variance, np.finfo(np.float64).tiny)
        dual = self._axes @ (self._y / (self._values + penalty)[:, None])
        weight: _Sums = dual.T @ self._x
        return Linear(_f32(weight), _f32(self._y_mean - weight @ self._x_mean))


def regression_of(x: Rows, y: Rows) -> Regression | DualRegression:
    """Of rows y (n, outputs) on rows x (n, inputs), from whichever products are fewer; n at least 1."""
    if len(x) < x.shape[1]:
        return DualRegression(x, y)
    sums = Regression(x.shape[1], y.shape[1])
    sums.add(x, y)
    return sums


def _f32(values: _Sums) -> WeightArray:
    return np.ascontiguousarray(values, np.float32)
