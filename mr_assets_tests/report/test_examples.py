"""Which examples are chosen: by you, by the truth, by the training; and how the last model answers held-out prompts."""

from pathlib import Path

import polars as pl

from mr_assets.lineage.pairs import pairs
from mr_assets.report.examples import ALL, EACH, LONGEST, examples
from mr_assets.runs.run import Run
from mr_assets.tables import HELD_OUT_RESPONSES
from mr_assets_tests.lineage.conftest import change
from mr_assets_tests.report.conftest import measure
from mr_assets_tests.tiny import tiny_run

HELD_OUT = "held_out={source: world, prompts: 12, per_prompt: 1}"


def test_pairs_are_chosen_by_truth_and_margin_and_none_twice(finished: Run) -> None:
    found = [each for each in examples(finished) if each.pair_id]
    known = {row["pair_id"]: row for row in pairs(finished, kinds=["actor"]).iter_rows(named=True)}
    assert 0 < len(found) <= ALL and len({each.pair_id for each in found}) == len(found)
    right = [known[each.pair_id]["true_gap"] for each in found if "is right" in each.why]
    assert right == sorted(right, reverse=True) and all(gap > 0 for gap in right) and len(right) <= EACH
    assert max(gap for row in known.values() if (gap := row["true_gap"]) is not None) == right[0]
    assert all(known[each.pair_id]["true_gap"] < 0 for each in found if "errs" in each.why)
    assert all(known[each.pair_id]["reward_margin"] < 0 for each in found if "against" in each.why)


def test_a_long_text_is_cut(run: Run) -> None:
    change(run, "prompts", lambda rows: rows.with_columns(prompt=pl.lit("x" * 9000)))
    assert max(len(each.prompt) for each in examples(run)) == LONGEST + 1


def answered(run: Run, model: str, scores: list[float], note: str) -> None:
    """What a model answers to held-out prompts, and what that is worth."""
    rows = [(f"held_out.{n}", f"{n}", f"prompt {n}", 0, f"{note} {n}", "stop", score) for n, score in enumerate(scores)]
    measure(run, "held_out_responses", model, {})
    pl.DataFrame(rows, HELD_OUT_RESPONSES.schema, orient="row").write_parquet(run.path("held_out_responses", model))


def test_the_best_gains_and_the_worst_losses_come_first(tmp_path: Path) -> None:
    """Of six prompts the last model answers 0 to 3 better by 4, 3, 2 and 1, number 4 as well, and number 5 worse."""
    run = tiny_run(tmp_path, HELD_OUT)
    answered(run, "seed", [0, 0, 0, 0, 3, 3], "before")
    answered(run, "1", [5, 5, 5, 5, 5, 5], "not the last")
    answered(run, "2", [4, 3, 2, 1, 3, 1], "after")
    found = examples(run)
    assert [(each.why, each.said) for each in found] == [
        *(("a best gain by the truth", f"score 0 to {score}") for score in (4, 3, 2, 1)),
        ("a worst loss by the truth", "score 3 to 1"),
    ]
    assert found[-1].sides == {"M2": "after 5", "seed": "before 5"} and found[-1].prompt == "prompt 5"


def test_without_the_seed_models_answers_nothing_is_compared(tmp_path: Path) -> None:
    run = tiny_run(tmp_path, HELD_OUT)
    answered(run, "2", [4, 3], "after")
    assert examples(run) == []
