"""Elo scores of judgments from their battle matrix (section 2.2), as a maximum a posteriori estimate.

The paper maximises sum_mn B_mn log sigmoid(e_m - e_n), which has no finite maximum when some judgment wins everything.
With a small ridge there is always exactly one:

    maximise  sum_mn B_mn log sigmoid(e_m - e_n) - (ridge / 2) sum_m e_m^2        natural units

    B all zero              e = 0, 0
    B_12 = 3, B_21 = 1      e_1 - e_2 near log 3
"""

import numpy as np

from mr_assets.errors import UserError
from mr_assets.method.battle_matrices import Bools, Floats

MAX_STEPS = 200
AT_ONCE = 512  # matrices: what a step touches stays in the processor's cache
_STEP_TOLERANCE = 1e-9
_ARMIJO = 1e-4
_ROUNDING = 1e-12


def elo_scores(matrices: Floats, mask: Bools, ridge: float = 0.01) -> Floats:
    """The Elo of every judgment, (B, N), nan where `mask` (B, N) says that there is none.

    matrices: (B, N, N), B_mn the weighted wins of m over n; the diagonal does not count. Hundreds of matrices are
    solved at once by Newton's method. The objective is strictly concave, and a step that does not raise it enough is
    halved, so it converges from anywhere; about ten steps do in practice.
    Raises `UserError` unless the ridge is above 0 (without one most matrices have no finite solution) and large enough
    for double precision (1e-4 is, for thousands of wins per pair).
    """
    if not ridge > 0:
        raise UserError(f"Elo ridge: expected a number above 0, received {ridge}. The default is 0.01.")
    if len(matrices) > AT_ONCE:
        parts = range(0, len(matrices), AT_ONCE)
        return np.concatenate([elo_scores(matrices[i : i + AT_ONCE], mask[i : i + AT_ONCE], ridge) for i in parts])
    size = matrices.shape[-1]
    wins = matrices * (mask[:, :, None] & mask[:, None, :] & ~np.eye(size, dtype=bool))
    elo = np.zeros(mask.shape)
    value = _objective(wins, elo, ridge)
    active = np.flatnonzero(wins.any(axis=(1, 2)))
    for _ in range(MAX_STEPS):
        if not active.size:
            return np.where(mask, elo, np.nan)
        b, e = wins[active], elo[active]
        step, slope = _newton(b, e, mask[active], ridge)
        elo[active], value[active] = _climbed(b, e, value[active], step, slope, ridge)
        active = active[np.abs(step).max(axis=1) > _STEP_TOLERANCE * (1 + np.abs(e).max(axis=1))]
    raise UserError(f"Elo of {active.size} matrices is lost in rounding errors: use a ridge larger than {ridge}.")


def _newton(b: Floats, e: Floats, mask: Bools, ridge: float) -> tuple[Floats, Floats]:
    """The Newton step (B, N) and the objective's slope along it (B,)."""
    lose = _sigmoid(e[:, None, :] - e[:, :, None])
    # Wins that were not expected: small where all goes as expected, without the noise of a difference of large sums.
    surprise = b * lose
    gradient = surprise.sum(axis=2) - surprise.sum(axis=1) - ridge * e
    # Elo sum to 0. Only the ridge holds the sum, so that a small one would blow its rounding error up.
    gradient -= mask * (gradient.sum(axis=1) / mask.sum(axis=1))[:, None]
    curvature = (b + b.transpose(0, 2, 1)) * lose * lose.transpose(0, 2, 1)
    hessian = -curvature
    diagonal = np.arange(e.shape[1])
    hessian[:, diagonal, diagonal] += curvature.sum(axis=2) + ridge
    step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
    return step, (gradient * step).sum(axis=1)


def _climbed(b: Floats, e: Floats, here: Floats, step: Floats, slope: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Elo after the step, halved per matrix until the objective rises by a fair part of what its slope promises.

    Returns the new Elo (B, N) and their objective (B,).
    """
    slack = _ROUNDING * (1 + np.abs(here))
    length = np.ones(len(e))
    there = _objective(b, e + step, ridge)
    while (short := np.flatnonzero(there < here + _ARMIJO * length * slope - slack)).size:
        length[short] /= 2
        there[short] = _objective(b[short], e[short] + length[short, None] * step[short], ridge)
    return e + length[:, None] * step, there


def _objective(b: Floats, e: Floats, ridge: float) -> Floats:
    """(B,) values of the penalised log-likelihood."""
    gap = e[:, :, None] - e[:, None, :]
    log_sigmoid = np.minimum(gap, 0) - np.log1p(np.exp(-np.abs(gap)))
    values: Floats = (b * log_sigmoid).sum(axis=(1, 2)) - ridge / 2 * (e**2).sum(axis=1)
    return values


def _sigmoid(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))
    values: Floats = np.where(x >= 0, 1, small) / (1 + small)
    return values
