"""Logistic regression in numpy. Pure."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 100
_ENOUGH: Final = 1e-9
# Keeps the weights finite where the classes can be told apart without an error.
_RIDGE: Final = 1e-4

Floats = NDArray[np.float64]


def fit(features: Floats, labels: NDArray[np.bool_], weights: Floats) -> Floats:
    """The intercept and the weight of each feature, by Newton's method.

    `features` is (n, features), `labels` and the weights of the examples are (n,).
    """
    shares = weights / weights.sum()
    centre = shares @ features
    spread = np.sqrt(shares @ (features - centre) ** 2)
    spread = np.where(spread > 0, spread, 1.0)
    inputs = np.column_stack([np.ones(len(features)), (features - centre) / spread])
    ridge = _RIDGE * np.eye(inputs.shape[1])
    ridge[0, 0] = 0.0
    found = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        expected = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        slope = inputs.T @ (shares * (expected - labels)) + ridge @ found
        curvature = (inputs * (shares * expected * (1 - expected))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature, slope)
        found -= step
        if np.abs(step).max() < _ENOUGH:
            break
    slopes = found[1:] / spread
    return np.concatenate([[found[0] - slopes @ centre], slopes])
