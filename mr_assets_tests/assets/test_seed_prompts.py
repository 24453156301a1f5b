"""What every iteration draws its prompts from: of the world, of a file, of a file less what rankings hold out."""

from pathlib import Path

import pytest

from mr_assets.ids import prompt_id
from mr_assets.inputs.user_files import HELD_OUT
from mr_assets.method.ranked_replies import in_parts
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.tables import SEED_PROMPTS
from mr_assets.worlds import letters
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.whole_runs.test_loop import new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_the_worlds_prompts_are_tasks_that_are_not_held_out(finished: Run) -> None:
    """As many as the recipe says, of which two iterations of five need ten; ids are hashes of the texts."""
    rows = table(finished, "seed_prompts", None)
    SEED_PROMPTS.check(rows)
    assert rows["prompt"].n_unique() == 24
    assert rows["prompt_id"].to_list() == [prompt_id(text) for text in rows["prompt"]]
    assert all(letters.parse_prompt(text) and not letters.is_held_out(text) for text in rows["prompt"])
    record = finished.record("seed_prompts")
    assert record is not None
    assert record.numbers == {"prompts": 24, "prompts needed by the iterations": 10}


def test_a_files_prompts_are_those_that_the_world_does_not_hold_out(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the file's order; one of eleven is a task of the held-out set."""
    [held_out] = letters.make_prompts(1, seed="held out", held_out=True)
    given = [f"What is {n} + {n}?" for n in range(10)]
    (tmp_path / "mine.txt").write_text("\n".join([*given[:3], held_out, *given[3:]]) + "\n")
    world = new_world(patch, tmp_path, "prompts.source=mine.txt", "prompts.count=null")
    world.make(Step("once", ("seed_prompts",), None))
    assert world.table("seed_prompts")["prompt"].to_list() == given
    record = world.run.record("seed_prompts")
    assert record is not None
    assert record.numbers == {"prompts": 10, "prompts needed by the iterations": 10, HELD_OUT: 1}


def test_prompts_that_rankings_hold_out_are_none(ranked: Run) -> None:
    """Twenty of 24 prompts have ranked replies, five of which are held out; they are dropped and counted."""
    _, held = in_parts(table(ranked, "ranked_replies", None))
    seeds = set(table(ranked, "seed_prompts", None)["prompt"])
    assert not set(held["prompt"]) & seeds
    assert (len(set(held["prompt"])), len(seeds)) == (5, 19)
    record = ranked.record("seed_prompts")
    assert record is not None
    assert record.numbers[HELD_OUT] == 5
