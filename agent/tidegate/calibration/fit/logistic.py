"""Multinomial logistic regression on another model's answers: convex, so that every run finds the same fit."""

from dataclasses import dataclass

import numpy as np
import torch

from tidegate.calibration.fit.ridge import Linear, Rows

ITERATIONS = 30
"""Of L-BFGS; on standardized features the loss has settled to the second digit by then."""


@dataclass(frozen=True, slots=True)
class Standardized:
    """Features with mean 0 and deviation 1 over the rows that are fitted to; a constant one stays 0."""

    mean: Rows
    deviation: Rows

    @classmethod
    def of(cls, rows: Rows) -> "Standardized":
        """From rows (n, features)."""
        deviation = rows.std(0)
        return cls(rows.mean(0), np.where(deviation > 0, deviation, np.float32(1)).astype(np.float32))

    def __call__(self, rows: Rows) -> Rows:
        """Rows (n, features) standardized."""
        return np.asarray((rows - self.mean) / self.deviation, np.float32)

    def undone(self, fit: Linear) -> Linear:
        """A fit on standardized features as one on the features themselves."""
        weight = np.ascontiguousarray(fit.weight / self.deviation, np.float32)
        return Linear(weight, np.asarray(fit.bias - weight @ self.mean, np.float32))


def logistic(features: Rows, logits: Rows, decay: float, start: Linear | None = None) -> Linear:
    """The fit of softmax(weight x + bias) to softmax(logits) by cross-entropy.

    `features` (n, features) are best standardized; `logits` (n, classes). `decay` is the penalty on the squared
    weights. From `start`, where there is one, it is found sooner.
    """
    x, targets = torch.from_numpy(features), torch.softmax(torch.from_numpy(logits), 1)
    shape = (logits.shape[1], features.shape[1])
    weight = torch.zeros(shape) if start is None else torch.from_numpy(start.weight.copy())
    bias = torch.zeros(shape[0]) if start is None else torch.from_numpy(start.bias.copy())
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        predicted = torch.log_softmax(torch.addmm(bias, x, weight.T), 1)
        loss = -(targets * predicted).sum(1).mean() + decay * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call] # torch's stubs
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call] # torch's stubs
    return Linear(weight.detach().numpy(), bias.detach().numpy())
