"""Responses to held-out prompts from end to end, with a fake engine and trainer."""

from collections.abc import Iterator

import pytest

from mr_assets.lineage.verification import verify
from mr_assets.orchestration.steps import Step, steps
from mr_assets.runs.status import state
from mr_assets.worlds import letters
from mr_assets_tests.test_loop import World, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

HELD_OUT = "held_out={source: world, prompts: 4, per_prompt: 3}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The tiny run up to M0, whose answers to held-out prompts, and the seed's, are there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, tmp_path_factory.mktemp("data"), "evaluation=null", HELD_OUT)
        for step in steps(world.run):
            if step.partition == "1":
                break
            result = world.materialize(step)
            assert result.success, messages(result)
        yield world


def test_every_model_answers_the_same_held_out_prompts(world: World) -> None:
    seed, m0 = (world.table("held_out_responses", model) for model in ("seed", "0"))
    assert seed["response_id"].to_list() == m0["response_id"].to_list()
    assert seed["prompt_id"].n_unique() == 4
    assert (seed["k"].unique().sort().to_list(), seed.height) == ([0, 1, 2], 12)
    assert all(letters.is_held_out(prompt) for prompt in seed["prompt"])
    for prompt, response, true in seed.select("prompt", "response", "true_score").iter_rows():
        assert true == letters.true_score(prompt, response)


def test_the_record_has_its_figures_and_follows(world: World) -> None:
    record = world.run.record("held_out_responses", "0")
    assert record is not None
    assert record.numbers["true_score_low"] <= record.numbers["true_score"] <= record.numbers["true_score_high"]
    assert list(record.inputs) == ["sft_checkpoint", "seed_prompts"]
    assert list(verify(world.run, None, ["held_out_responses"])) == []


def test_prompts_of_a_file_that_are_seed_prompts_are_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the last test of the run: it is made again with another recipe."""
    trained = world.table("seed_prompts")["prompt"][0]
    (world.run.data / "held.txt").write_text(f"{trained}\nWho wrote Faust?\n")
    sets = ("evaluation=null", "held_out={source: held.txt}")
    other = new_world(monkeypatch, world.run.data, *sets)
    assert state(other.run, "held_out_responses", "0") == "out of date"
    assert (result := other.materialize(Step("again", ("held_out_responses",), "0"))).success, messages(result)
    assert other.table("held_out_responses", "0")["prompt"].to_list() == ["Who wrote Faust?"]
    [(_, reason, _)] = other.dropped("held_out_responses", "0").rows()
    assert reason == "trained_on"
    (world.run.data / "held.txt").write_text("Who wrote Hamlet?\n")
    assert state(other.run, "held_out_responses", "0") == "out of date"
