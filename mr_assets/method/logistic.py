"""Logistic regression of outcomes that are shares: a draw is 0.5, a soft preference anything from 0 to 1.

    terms = fit_logistic(rows, wins, weights)      P(win) = expit(rows @ terms)

No intercept is added, and rows have weights: those of a bootstrap, or of a win that counts three times.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RIDGE = 0.01
"""Keeps the fit finite where every outcome is 0, or 1; 805 rows outweigh it ten thousand to one."""


def fit_logistic(rows: Numbers, wins: Numbers, weights: Numbers, start: Numbers | None = None) -> Numbers:
    """The terms (k,) of the greatest likelihood, of rows (n, k), outcomes (n,) from 0 to 1 and weights (n,).

    start: terms that are near to them, from where it is a shorter way.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(terms: Numbers) -> tuple[float, Numbers]:
        """Minus the log-likelihood, with its gradient (k,)."""
        logit = rows @ terms
        value = weights @ (np.logaddexp(0, logit) - wins * logit) + RIDGE / 2 * terms @ terms
        return float(value), rows.T @ (weights * (expit(logit) - wins)) + RIDGE * terms

    def curvature(terms: Numbers) -> Numbers:
        """The Hessian of the loss, (k, k)."""
        expected = expit(rows @ terms)
        spread = weights * expected * (1 - expected)
        return np.asarray((rows * spread[:, None]).T @ rows + RIDGE * np.eye(rows.shape[1]))

    begin = np.zeros(rows.shape[1]) if start is None else start
    best = minimize(loss, begin, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-6})
    return np.asarray(best.x)
