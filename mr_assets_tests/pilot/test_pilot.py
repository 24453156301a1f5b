"""A pilot through the loop's own assets in this process, with the fake engine."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mr_assets.inputs.seed_model import seed_model
from mr_assets.method.prompts import check_prompts, draw_prompts
from mr_assets.pilot.pilot import FOLDER, forget, make, planned
from mr_assets.recipes.names import is_run_name
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save, stored_runs
from mr_assets.worlds.letters import CONSONANTS, make_prompts
from mr_assets_tests.pilot.conftest import Engine
from mr_assets_tests.tiny import complete, files, tiny_run

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def beside(data: Path) -> dict[str, bytes]:
    """All of a data folder but its pilots."""
    return {name: content for name, content in files(data).items() if not name.startswith(f"{FOLDER}/")}


@pytest.mark.slow
def test_every_role_is_tried_and_nothing_of_it_is_the_runs(run: Run, engine: Engine) -> None:
    """The run's folder, its family's and the history are as they were; the prompts are of those that it would draw."""
    save(run)
    complete(run, "seed_prompts")
    before = beside(run.data)
    pilot = planned(run, 4)
    assert not pilot.is_made
    make(pilot)
    assert pilot.is_made and beside(run.data) == before
    assert set(stored_runs(run.data)) == {run.name} and not is_run_name(FOLDER)
    made = {asset: pilot.run.record(asset, "1") for asset in run.loop.per("iteration")}
    assert [asset for asset, record in made.items() if record is None] == ["checkpoints"]
    texts = make_prompts(24, seed=str(run.recipe.seed))
    drawn = draw_prompts(check_prompts(pl.DataFrame({"prompt": texts})), 1, [5, 5], run.recipe.seed)
    tried = pl.read_parquet(pilot.run.path("prompts", "1"))["prompt_id"]
    assert tried.len() == 4 and set(tried) < set(drawn["prompt_id"])


@pytest.mark.slow
def test_what_is_there_is_not_sampled_again(run: Run, engine: Engine) -> None:
    """Ctrl-C comes while judgments are sampled: it goes on, without sampling the responses again. Then all is there.

    Unless it is forgotten, or the recipe changes: in the engine's speed, too, as its rates are planned with.
    """
    pilot = planned(run, 2)
    engine.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        make(pilot)
    assert pilot.run.record("responses", "1") and not pilot.run.record("judgments", "1")
    engine.stop_at, engine.asked = -1, []
    make(pilot)
    assert pilot.is_made and engine.asked and not [i for i in engine.asked if ".r" not in i]
    asked = len(engine.asked)
    make(planned(run, 2))
    assert len(engine.asked) == asked
    faster = replace(run, recipe=tiny_run(run.data, "engine.max_num_seqs=7").recipe)
    assert not planned(faster, 2).is_made and not planned(run, 3).is_made
    forget(planned(run, 2))
    assert not planned(run, 2).is_made and not planned(run, 2).run.path("responses", "1").exists()


def test_the_model_as_it_is(run: Run, engine: Engine) -> None:
    """M0 if the run has made it, else the seed."""
    assert (planned(run).model, planned(run).folder) == ("seed", seed_model(run.recipe, run.data))
    for asset in ("eft_dataset", "sft_checkpoint"):
        complete(run, asset)
    assert (planned(run).model, planned(run).folder) == ("M0", run.place("sft_checkpoint").resolve())


@pytest.mark.slow
def test_files_of_the_runs_data_folder_are_found(tmp_path: Path, engine: Engine) -> None:
    """A pilot has a data folder of its own; what a recipe names relative to the run's is still that."""
    (tmp_path / "p.txt").write_text("".join(f"Copy the letters b c {x}.\n" for x in CONSONANTS[2:]))
    (tmp_path / "j.txt").write_text("Judge {response} to {prompt} from 0 to 5. Score:")
    pilot = planned(
        tiny_run(
            tmp_path, "prompts.source=p.txt", "prompts.count=null", "prompts.disjoint=false", "judgments.template=j.txt"
        ),
        2,
    )
    make(pilot)
    assert pilot.run.recipe.prompts.source == str(tmp_path / "p.txt")
    assert pl.read_parquet(pilot.run.path("seed_prompts")).height == 18


def test_prompts_that_a_model_makes(tmp_path: Path) -> None:
    """As many as go through the pilot, by the seed model, whatever model is tried."""
    beside = ("world=null", "eft.source=e.jsonl", "evaluation=null", "generation.max_tokens=64")
    run = tiny_run(tmp_path, "prompts.source=generated", *beside)
    pilot = planned(run, 3)
    assert pilot.run.recipe.prompts.count == 3 and "generated_prompts" in pilot.run.loop
    assert pilot.run.recipe.prompts.generator == str(seed_model(run.recipe, run.data))


def test_more_prompts_than_there_are(run: Run) -> None:
    """As many as the iteration has."""
    assert planned(run, 6).prompts == 5
