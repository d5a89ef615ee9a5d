"""How much each run of a specialist counts where several answer together: learnt on held-out persons.

The runs' probabilities are mixed, p = sum of w_r p_r, with the weights under which the right classes were most likely:
a linear opinion pool (Stone, "The Opinion Pool", 1961), stacked as Yao et al., "Using Stacking to Average Bayesian
Predictive Distributions", 2018, have it. Equal weights are what few persons leave.
"""

import numpy as np

from shared.arrays import Floats

_CAUTION = 10.0
"""Every run counts as if so many persons more had been answered best by it."""

_LEAST = 1e-7
"""Files hold seven digits; a probability of 0 there is one below that."""

_ROUNDS, _CLOSE = 1000, 1e-6


def equal_weights(runs: int) -> Floats:
    """For the mean of so many runs, (R,)."""
    return np.full(runs, 1 / runs)


def learn_weights(chances: Floats, persons: int) -> Floats:
    """Weights (R,), none below 0 and one in sum, from the probability that each run gave to each right class (N, R).

    `persons` are seen in the N pictures. Expectation maximisation, which climbs to the one maximum there is: of what a
    mixture says of a picture, each run is due its share, and the shares are the next weights.
    """
    chances = np.maximum(chances, _LEAST)
    weights = equal_weights(chances.shape[1])
    for _ in range(_ROUNDS):
        shares = chances * weights
        due = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0) * persons + _CAUTION
        before, weights = weights, due / due.sum()
        if np.abs(weights - before).max() < _CLOSE:
            break
    return weights
