"""What the next model is trained on."""

from dataclasses import replace

import polars as pl
import pytest

from mr_assets.orchestration.steps import Step, steps
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.tables import DPO_DATASET
from mr_assets.templates import judge_template
from mr_assets_tests.assets.conftest import Again
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import messages

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_training_gets_the_very_ids_that_were_sampled(finished: Run) -> None:
    """Of an actor pair those of its responses, of a judge pair those of its judgments."""
    data = table(finished, "dpo_dataset", "1")
    assert set(data["kind"]) == {"actor", "judge"}
    for pairs, made, identity in (
        ("actor_pairs", "responses", "response_id"),
        ("elo_pairs", "judgments", "judgment_id"),
    ):
        ids = dict(table(finished, made, "1").select(identity, "token_ids").iter_rows())
        found = {r["pair_id"]: r for r in data.iter_rows(named=True)}
        for pair in table(finished, pairs, "1").iter_rows(named=True):
            for side in ("chosen", "rejected"):
                assert found[pair["pair_id"]][f"{side}_token_ids"] == ids[pair[f"{side}_id"]]
    assert not data.filter(pl.col("prompt_token_ids").list.len() < 3).height


def test_a_pair_is_a_conversation_of_its_prompt_and_its_two_texts(finished: Run) -> None:
    """The policy is asked with the user's message alone, the judge with the template that prompt and response fill."""
    data = table(finished, "dpo_dataset")
    DPO_DATASET.check(data)
    asked = dict(table(finished, "prompts").iter_rows())
    responses = {row["response_id"]: row for row in table(finished, "responses").iter_rows(named=True)}
    texts = dict(table(finished, "judgments").select("judgment_id", "judgment").iter_rows())
    texts |= {each: row["response"] for each, row in responses.items()}
    pairs = [*table(finished, "actor_pairs").iter_rows(named=True), *table(finished, "elo_pairs").iter_rows(named=True)]
    by_id = {pair["pair_id"]: pair for pair in pairs}
    assert set(data["pair_id"]) == set(by_id)
    for row in data.iter_rows(named=True):
        pair, [message] = by_id[row["pair_id"]], row["prompt"]
        if row["kind"] == "judge":
            judged = responses[pair["response_id"]]
            shown = {"prompt": asked[judged["prompt_id"]], "response": judged["response"]}
            assert judge_template().unfill(message["content"]) == shown
        else:
            assert message["content"] == asked[pair["prompt_id"]]
        assert message["role"] == "user"
        for side in ("chosen", "rejected"):
            assert row[side] == [{"role": "assistant", "content": texts[pair[f"{side}_id"]]}]


@pytest.mark.parametrize("assets", [("dpo_dataset",), ("responses", "dpo_dataset")])
def test_prompts_to_train_on_are_those_that_were_sampled_from(again: Again, assets: tuple[str, ...]) -> None:
    """The recipe has another date since: the dataset waits until responses and judgments were sampled with it."""
    world = again()
    model = world.run.recipe.model.model_copy(update={"date": "2030-01-01"})
    recipe = world.run.recipe.model_copy(update={"model": model})
    world.run = replace(world.run, recipe=recipe, launched_family=world.run.family)
    pending = next(steps(world.run)).assets
    assert pending == ("sft_checkpoint",), "all that has prompts is stale, M0 first"
    assert state(world.run, "responses", "1") == state(world.run, "dpo_dataset", "1") == "stale"
    before = world.run.record("dpo_dataset", "1")
    result = world.materialize(Step("part of it", assets, "1"))
    assert not result.success
    [said] = messages(result)
    other = "judgments" if "responses" in assets else "responses"
    assert f"{other} of iteration 1 were sampled with another model.date than the recipe now has" in said
    assert f"Materialize {other} again, or set the recipe back." in said
    assert world.run.record("dpo_dataset", "1") == before
