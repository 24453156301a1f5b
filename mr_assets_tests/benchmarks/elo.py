"""Elo of an iteration's battle matrices: one batched Newton against scipy, matrix by matrix.

    python -m mr_assets_tests.benchmarks.elo [--matrices 5000] [--scipy-matrices 1000] [--repeats 5]

Both solve the same objective (ridge 0.01). scipy's own best for speed is L-BFGS; to compare the results it is asked for
more digits (Newton, trust-exact), on fewer matrices.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

# Threads only get in each other's way at 11 x 11: without this scipy takes up to fifty times longer on a busy machine.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from scipy.optimize import minimize

from mr_assets.method.battle_matrices import Floats, strongly_connected
from mr_assets.method.elo import elo_scores
from mr_assets_tests.benchmarks.machine import spread, write_result

RIDGE = 0.01


def battles(count: int, size: int, skill_spread: float, seed: int) -> Floats:
    """Battle matrices of judgments with normal skills, every pair fought in both orders, weights 0.4 and 0.6."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(0, skill_spread, (count, size))
    better = 1 / (1 + np.exp(skill[:, None, :] - skill[:, :, None]))
    first_wins = rng.random((count, size, size)) < better
    b = 0.4 * first_wins + 0.6 * ~first_wins.transpose(0, 2, 1)
    return np.asarray(b * ~np.eye(size, dtype=bool))


def scipy_elo(b: Floats, method: str) -> Floats:
    """Elo of one matrix by scipy."""

    def loss(e: Floats) -> tuple[float, Floats]:
        gap = e[:, None] - e[None, :]
        lose = b / (1 + np.exp(gap))
        value = (b * np.logaddexp(0, -gap)).sum() + RIDGE / 2 * (e @ e)
        return value, lose.sum(axis=0) - lose.sum(axis=1) + RIDGE * e

    def hessian(e: Floats) -> Floats:
        p = 1 / (1 + np.exp(e[None, :] - e[:, None]))
        c = (b + b.T) * p * (1 - p)
        return np.diag(c.sum(axis=1) + RIDGE) - c

    exact = {"hess": hessian, "options": {"gtol": 1e-10}} if method == "trust-exact" else {}
    return np.asarray(minimize(loss, np.zeros(len(b)), jac=True, method=method, **exact).x)


def scipy_elos(matrices: Floats) -> list[Floats]:
    """Elo of matrices one by one, as scipy does it fastest."""
    return [scipy_elo(b, "L-BFGS-B") for b in matrices]


def seconds(work: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Wall time and CPU time of each repeat."""
    wall, cpu = [], []
    for _ in range(repeats):
        wall.append(-time.perf_counter())
        cpu.append(-time.process_time())
        work()
        wall[-1] += time.perf_counter()
        cpu[-1] += time.process_time()
    return wall, cpu


def main() -> None:
    """Measure, print a table, write ``benchmarks/results/elo.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrices", type=int, default=5000)
    parser.add_argument("--scipy-matrices", type=int, default=1000, help="how many of them scipy solves, for the time")
    parser.add_argument(
        "--exact-matrices", type=int, default=500, help="how many are compared with scipy's best digits"
    )
    parser.add_argument("--size", type=int, default=11)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    mask = np.ones((args.matrices, args.size), bool)
    rows: list[dict[str, Any]] = []
    for skill_spread in (1.0, 2.0, 4.0):
        b = battles(args.matrices, args.size, skill_spread, seed=0)
        elo = elo_scores(b, mask, RIDGE)
        some = b[: args.scipy_matrices]
        batched, batched_cpu = seconds(partial(elo_scores, b, mask, RIDGE), args.repeats)
        one_by_one, one_by_one_cpu = seconds(partial(scipy_elos, some), args.repeats)
        scale = len(b) / len(some)
        exact = np.array([scipy_elo(x, "trust-exact") for x in b[: args.exact_matrices]])
        rows.append(
            {
                "skill_spread": skill_spread,
                "strongly_connected_share": round(float(strongly_connected(b, mask).mean()), 3),
                "batched_s": spread(batched),
                "batched_cpu_s": spread(batched_cpu),
                "scipy_s": spread([t * scale for t in one_by_one]),
                "scipy_cpu_s": spread([t * scale for t in one_by_one_cpu]),
                "times_faster": round(float(np.median(one_by_one) / np.median(batched) * scale), 1),
                "largest_difference_to_scipy": float(np.abs(elo[: len(exact)] - exact).max()),
                "all_finite": bool(np.isfinite(elo).all()),
            }
        )
    degenerate = np.stack([np.zeros((args.size, args.size)), np.triu(np.ones((args.size, args.size)), 1)])
    goal = {"batched_s": 0.5, "times_faster": 5, "largest_difference_to_scipy": 1e-6, "all_finite": True}
    result = {
        "what": f"Elo of {args.matrices} matrices {args.size} x {args.size}, ridge {RIDGE}",
        "scipy_time": f"of {args.scipy_matrices} matrices, scaled to {args.matrices}; one BLAS thread",
        "goal": goal,
        "by_skill_spread": rows,
        "degenerate_all_finite": bool(np.isfinite(elo_scores(degenerate, mask[:2], RIDGE)).all()),
    }
    print(f"{'spread':>7} {'batched s':>10} {'CPU s':>6} {'scipy s':>8} {'CPU s':>6} {'faster':>7} {'difference':>11}")
    for r in rows:
        batched_s, cpu_s, scipy_s, scipy_cpu_s = (
            r[name]["median"] for name in ("batched_s", "batched_cpu_s", "scipy_s", "scipy_cpu_s")
        )
        print(
            f"{r['skill_spread']:>7} {batched_s:>10.3f} {cpu_s:>6.2f} {scipy_s:>8.2f} {scipy_cpu_s:>6.2f} "
            f"{r['times_faster']:>6}x {r['largest_difference_to_scipy']:>11.1e}"
        )
    print(f"{'goal':>7} {'<= 0.5':>10} {'':>6} {'':>8} {'':>6} {'>= 5x':>7} {'<= 1e-6':>11}")
    print(write_result("elo", result))


if __name__ == "__main__":
    main()
