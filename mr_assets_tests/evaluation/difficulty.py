"""Make `mr_assets/evaluation/alpaca_eval.csv`: what a length-controlled win rate needs to know of each instruction.

    python -m mr_assets_tests.evaluation.difficulty annotations.parquet ALPACA_EVAL_CHECKOUT OUT.csv

annotations.parquet: model, index, preference (1 to 2), len_reference, len_model, of many models. The checkout is that
of the public alpaca_eval repository: of each model it has the length, difficulty and quality terms that the official
length-controlled win rate fitted. With these given, the difficulty of an instruction is the one that makes the
preferences of all models on it most likely, with a weak normal prior (precision 0.3). Rows are counted as the official
tool counts them.
verbose and concise are characters of the reference's answers minus those of GPT-4 Turbo told to be so; instruction is
the instruction's fingerprint.
"""

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl

from mr_assets.evaluation.alpaca_eval import fingerprint_of

PRIOR = 0.3
INSTRUCTIONS = 805
WEIGHTS = "src/alpaca_eval/metrics/weights/weighted_alpaca_eval_gpt4_turbo/length_controlled_v1"
REFERENCE = "gpt4_1106_preview"
TERMS = {
    "np.tanh(std_delta_len)": "length",
    "instruction_difficulty": "hard",
    "not_gamed_baseline.astype(float)": "quality",
}


def difficulties(annotations: pl.DataFrame, terms: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(805,) of annotations (see above) and terms (model, length, hard, quality), by Newton's method, one by one."""
    difference = pl.col("len_reference") - pl.col("len_model")
    table = (
        annotations.sort("model", "index")
        .with_columns(
            place=pl.int_range(pl.len()).over("model"), term=(difference / difference.std()).tanh().over("model")
        )
        .join(terms, on="model")
    )
    place, hard = table["place"].to_numpy(), table["hard"].to_numpy()
    rest = (table["length"] * table["term"] + table["quality"]).to_numpy()
    won = (table["preference"] - 1).to_numpy()
    found = np.zeros(INSTRUCTIONS)
    for _ in range(100):
        expected = 1 / (1 + np.exp(-(rest + hard * found[place])))
        slope = np.bincount(place, hard * (won - expected), INSTRUCTIONS) - PRIOR * found
        curve = np.bincount(place, hard**2 * expected * (1 - expected), INSTRUCTIONS) + PRIOR
        found = found + np.clip(slope / curve, -1, 1)
    return found


def official_terms(checkout: Path) -> pl.DataFrame:
    """model, length, hard, quality of every model on the leaderboard."""
    return pl.read_csv(checkout / WEIGHTS / f"baseline_{REFERENCE}.csv").rename({"": "model", **TERMS})


def _outputs(checkout: Path, model: str) -> list[dict[str, str]]:
    path = checkout / "results" / model / "model_outputs.json"
    outputs: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return outputs


def _chars(checkout: Path, model: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([len(row["output"]) for row in _outputs(checkout, model)])


def main(annotations: Path, checkout: Path, out: Path) -> None:
    """Write the file."""
    found = difficulties(pl.read_parquet(annotations), official_terms(checkout))
    reference = _chars(checkout, REFERENCE)
    gamed = {kind: reference - _chars(checkout, f"{REFERENCE}_{kind}") for kind in ("verbose", "concise")}
    known = [fingerprint_of(row["instruction"]) for row in _outputs(checkout, REFERENCE)]
    columns = {"index": np.arange(INSTRUCTIONS), "difficulty": found.round(4), **gamed, "instruction": known}
    pl.DataFrame(columns).write_csv(out)


if __name__ == "__main__":
    main(*(Path(each) for each in sys.argv[1:]))
