"""What the seed model is finetuned on: of the small world, of people's rankings, or none."""

import json
from pathlib import Path

import polars as pl
import pytest

from mr_assets.method.judgments import parse_score
from mr_assets.method.numbers import eft_numbers
from mr_assets.method.ranked_replies import in_parts
from mr_assets.orchestration.steps import Step
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.run import Run
from mr_assets.tables import EFT_DATASET
from mr_assets.templates import judge_template
from mr_assets.worlds import letters
from mr_assets_tests.assets.conftest import faults_where
from mr_assets_tests.lineage.conftest import dropped, table
from mr_assets_tests.rankings import OF_RANKINGS
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.whole_runs.test_loop import new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

FILES = ("eft.source=e.jsonl", "prompts.source=p.jsonl")


def asked(examples: pl.DataFrame) -> list[dict[str, str]]:
    """Prompt and response of every example, by the judge template that its user's message is."""
    assert set(examples["prompt"].list.len()) == {1}
    found = [judge_template().unfill(row[0]["content"]) for row in examples["prompt"]]
    assert None not in found
    return [each for each in found if each]


def test_the_worlds_examples_judge_its_tasks(finished: Run) -> None:
    """Twelve: the judge template, filled with a letter task that is not held out; the answer gives a score."""
    examples = table(finished, "eft_dataset", None)
    EFT_DATASET.check(examples)
    assert examples["example_id"].to_list() == [str(n) for n in range(12)]
    for values in asked(examples):
        assert letters.parse_prompt(values["prompt"]) and not letters.is_held_out(values["prompt"])
    for [answer] in examples["completion"].to_list():
        score, invalid = parse_score(answer["content"])
        assert (answer["role"], score in range(6), invalid) == ("assistant", True, None)
    record = finished.record("eft_dataset")
    assert record is not None
    assert (record.rows, record.dropped, record.numbers) == (12, None, {"examples": 12})


def test_without_sft_it_is_empty_and_says_so(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its check passes: the recipe wants no examples."""
    world = new_world(patch, tmp_path / "data", "sft=null")
    world.make(Step("once", ("eft_dataset",), None))
    assert world.table("eft_dataset").equals(EFT_DATASET.empty())
    found = world.check("eft_dataset", "not_empty", None)
    assert (found.passed, found.description) == (True, "Empty: the recipe has no SFT.")


# ----------------------------------------------------------------------------------------------------- of rankings


def test_what_is_kept_is_what_ranks_as_people_did(ranked: Run) -> None:
    """Kept and dropped are all judgments; every example says its tree, message, rank and judgment."""
    kept, judged = table(ranked, "eft_dataset", None), table(ranked, "eft_judgments", None)
    gone = dropped(ranked, "eft_dataset", None)
    EFT_DATASET.check(kept)
    assert sorted([*kept["judgment_id"], *gone["id"]]) == sorted(judged["judgment_id"])
    assert set(gone["reason"]) >= {"ranks_differ"}
    scores = dict(judged.select("judgment_id", "score").iter_rows())
    names = dict(table(ranked, "ranked_replies", None).select("response_id", "message_id").iter_rows())
    for row in kept.iter_rows(named=True):
        assert row["score"] == scores[row["judgment_id"]]
        assert row["message_id"] == names[row["judgment_id"].rpartition(".")[0]]
        assert row["message_id"] == f"{row['tree_id']}.{row['rank']}"
    record = ranked.record("eft_dataset")
    assert record is not None
    assert record.numbers == json.loads(json.dumps(eft_numbers(kept, gone)))


def test_no_held_out_prompt_is_an_example(ranked: Run) -> None:
    _, held = in_parts(table(ranked, "ranked_replies", None))
    assert not set(held["prompt"]) & {values["prompt"] for values in asked(table(ranked, "eft_dataset", None))}


def test_a_score_that_does_not_follow_is_found(ranked_copy: Run) -> None:
    assert [fault for fault in faults_where(ranked_copy, "eft_dataset", "score", 1.5) if "score is 1.5" in fault]


def test_words_and_scale_shape_what_is_made_of_rankings_alone(tmp_path: Path) -> None:
    """Other EFT data is read or made without them: runs that ask for scores otherwise share its M0."""
    again, files = "judgments.score_line=asked_again", ("world=null", "evaluation=null", *FILES)
    plain, of_rankings = (tiny_run(tmp_path, *sets) for sets in ((), OF_RANKINGS))
    assert "judgments.score_words" not in shaping_settings(plain.recipe, "eft_dataset", None)
    assert shaping_settings(of_rankings.recipe, "eft_dataset", None)["judgments.score_words"] == "Score"
    assert tiny_run(tmp_path, again, *files).family == tiny_run(tmp_path, *files).family
