"""Battle matrices: who beat whom, weighted against the bias for a position (section 2.2).

With win_1st and win_2nd the wins in first and second position, and r_mn = 1 if m, shown first against n, wins, -1 if n
wins, 0 if nobody does:

    w1 = win_2nd / (win_1st + win_2nd)        w2 = win_1st / (win_1st + win_2nd)
    B_mn = w1 [r_mn = 1] + w2 [r_nm = -1]

    3 wins in first, 1 in second position: w1 = 1/4, w2 = 3/4; m beats n in both orders: B_mn = 1
"""

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mr_assets.ids import samples_of
from mr_assets.method import Frame
from mr_assets.method.dropped import dropped, gathered
from mr_assets.tables import BATTLE_MATRICES, Selected

Scope = Literal["iteration", "response"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def position_weights(wins_first: Any, wins_second: Any) -> tuple[Floats, Floats]:
    """The weights (omega_1, omega_2) of a win in first and in second position; 1/2 each without a decisive battle.

    Takes two counts or two arrays of counts. If one position won everything, its weight is 0 and no other win exists:
    every B is then all zero, see `one_sided`.
    """
    first, second = np.asarray(wins_first, float), np.asarray(wins_second, float)
    total = first + second
    decisive = np.maximum(total, 1)
    return np.where(total > 0, second / decisive, 0.5), np.where(total > 0, first / decisive, 0.5)


def battle_matrices(meta_judgments: Frame, selected: Frame | None = None, *, scope: Scope = "iteration") -> Selected:
    """One matrix per response whose judgments battled: `BATTLE_MATRICES`, sorted by response_id.

    Columns in: response_id, first_id, second_id, winner. A win reaches the matrix through the ids of the two judgments
    and the order in which they were shown, never through its place in a list, so battles may be missing. The matrix's
    judgments are those of any battle, ordered by n. The position weights are those of the whole iteration, or with
    `scope` "response" of each response alone (degenerate sooner). With `selected` (response_id), those responses
    without any battle are in the dropped.
    """
    fought = meta_judgments.lazy().select("response_id", "first_id", "second_id", "winner").collect(engine="streaming")
    judges = (
        pl.concat([fought.select("response_id", judgment_id=c).unique() for c in ("first_id", "second_id")])
        .unique()
        .with_columns(n=samples_of("judgment_id"))
        .sort("response_id", "n", "judgment_id")
        .with_columns(place=pl.int_range(pl.len()).over("response_id"))
    )
    per_response = judges.group_by("response_id", maintain_order=True).agg("judgment_id").with_row_index("response")
    place = judges.join(per_response.select("response_id", "response"), on="response_id", how="left")
    place = place.select("judgment_id", "place", "response")
    decided = (
        fought.filter(pl.col("winner").is_not_null())
        .join(place, left_on="first_id", right_on="judgment_id", how="inner")
        .join(place.drop("response"), left_on="second_id", right_on="judgment_id", how="inner", suffix="_second")
        .select("response", "place", "place_second", first_won=pl.col("winner") == "first")
    )
    responses = per_response.height
    sizes = per_response["judgment_id"].list.len().to_numpy().astype(np.int64)
    response, first, second, first_won = (decided[c].to_numpy() for c in decided.columns)
    wins_first = np.bincount(response[first_won], minlength=responses)
    wins_second = np.bincount(response[~first_won], minlength=responses)
    if scope == "iteration":
        wins_first = np.full(responses, wins_first.sum())
        wins_second = np.full(responses, wins_second.sum())
    omega_1, omega_2 = position_weights(wins_first, wins_second)
    width = int(sizes.max(initial=0))
    winner, loser = np.where(first_won, first, second), np.where(first_won, second, first)
    weight = np.where(first_won, omega_1[response], omega_2[response])
    cell = (response * width + winner) * width + loser
    matrices = np.bincount(cell, weight, minlength=responses * width * width).astype(float)
    matrices = matrices.reshape(responses, width, width)
    rows = per_response.select(
        pl.col("response_id"),
        pl.col("judgment_id").alias("judgment_ids"),
        as_column(matrices, sizes),
        pl.Series("omega_1", omega_1),
        pl.Series("omega_2", omega_2),
        pl.Series("win_first", wins_first, dtype=pl.Int64),
        pl.Series("win_second", wins_second, dtype=pl.Int64),
        pl.Series("strongly_connected", strongly_connected(matrices, present(sizes, width)), dtype=pl.Boolean),
    )
    rows = rows.select(list(BATTLE_MATRICES.schema)).cast(BATTLE_MATRICES.schema)
    return Selected(rows, _without_battles(selected, rows))


def one_sided(matrices: pl.DataFrame) -> str | None:
    """A warning, if in some scope of the weights one position won every decisive battle: those B are all zero.

    Takes rows of `BATTLE_MATRICES`; None if all is well.
    """
    first, second = pl.col("win_first"), pl.col("win_second")
    bad = matrices.filter((first + second > 0) & ((first == 0) | (second == 0)))
    if bad.is_empty():
        return None
    wins = bad.select(first.max(), second.max()).row(0)
    where = "first" if wins[0] else "second"
    where = "first or second" if all(wins) else where
    return (
        f"{bad.height} of {matrices.height} battle matrices are all zero: the {where} position won every decisive "
        f"battle (up to {max(wins)}), so such wins have weight 0 and no judge pair can come of them. The meta-judge "
        "does not compare judgments; look at its completions before you train on anything of this iteration."
    )


def strongly_connected(matrices: Floats, mask: Bools) -> Bools:
    """Whether in each matrix everybody present beats everybody else through some chain of wins: (B,).

    matrices: (B, N, N), mask: (B, N). Only then is there a finite maximum-likelihood Elo without a ridge.
    """
    width = matrices.shape[-1]
    reach = ((matrices > 0) & mask[:, :, None] & mask[:, None, :]) | np.eye(width, dtype=bool)
    for _ in range(max(width - 1, 1).bit_length()):
        reach = np.matmul(reach.astype(np.float32), reach.astype(np.float32)) > 0
    absent = ~(mask[:, :, None] & mask[:, None, :])
    connected: np.ndarray[tuple[int], np.dtype[np.bool_]] = (reach | absent).all(axis=(1, 2))
    return connected


def present(sizes: NDArray[np.int64], width: int) -> Bools:
    """Mask (B, width) of the judgments that each matrix has."""
    return np.arange(width) < sizes[:, None]


def as_column(matrices: Floats, sizes: NDArray[np.int64]) -> pl.Series:
    """The column ``matrix`` (list of lists) of padded matrices (B, N, N), each cut to its size."""
    dtype = BATTLE_MATRICES.schema["matrix"]
    parts, order = [pl.Series("matrix", [], dtype=dtype)], [np.empty(0, np.int64)]
    for size in np.unique(sizes):
        (these,) = np.nonzero(sizes == size)
        parts.append(pl.Series("matrix", np.ascontiguousarray(matrices[these, :size, :size])).cast(dtype))
        order.append(these)
    return pl.concat(parts).gather(np.argsort(np.concatenate(order)))


def as_arrays(rows: pl.DataFrame) -> tuple[Floats, Bools]:
    """Padded matrices (B, N, N) and mask (B, N) of rows of `BATTLE_MATRICES`, in their order."""
    sizes = rows["judgment_ids"].list.len().to_numpy().astype(np.int64)
    width = int(sizes.max(initial=0))
    matrices = np.zeros((rows.height, width, width))
    for size in np.unique(sizes):
        (these,) = np.nonzero(sizes == size)
        flat = rows["matrix"].gather(these).explode().explode().to_numpy()
        matrices[these, :size, :size] = flat.reshape(len(these), size, size)
    return matrices, present(sizes, width)


def _without_battles(selected: Frame | None, rows: pl.DataFrame) -> pl.DataFrame:
    if selected is None:
        return gathered()
    lost = selected.lazy().select("response_id").collect().join(rows, on="response_id", how="anti")
    return gathered(dropped(lost.with_columns(battles=pl.lit(0)), "response_id", "no_battles", ["battles"]))
