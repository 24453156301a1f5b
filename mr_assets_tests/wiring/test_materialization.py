"""What every asset does: true records, policies that are what they say, progress."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.runs.artifact import Model
from mr_assets.runs.progress import Sampled, noted
from mr_assets.runs.run import Run
from mr_assets.runs.settings import settings_of
from mr_assets.tables import ACTOR_PAIRS, RESPONSES, SELECTED_RESPONSES, Selected, dropped_frame, version_of
from mr_assets_tests.tiny import complete, files
from mr_assets_tests.wiring.conftest import metadata, table, work


def test_inputs_are_recorded_as_they_were_when_the_work_began(run: Run) -> None:
    """seed_prompts was materialized again while prompts were drawn: what was drawn is stale, and says so."""
    complete(run, "seed_prompts", version="old")
    begun = work(run, "prompts")
    complete(run, "seed_prompts", version="new")
    record = begun.table(table("a"), {}).value.record
    assert record.inputs == {"seed_prompts": "old"}
    assert run.inputs("prompts", "1") == {"seed_prompts": "new"}


def test_the_record_of_a_table(run: Run) -> None:
    """What it is, of what and with which settings it was made, how many rows, how many were dropped."""
    rows, dropped = table("a", "b"), dropped_frame([("p9", "too_long", "{}"), ("p8", "too_long", "{}")])
    made = work(run, "prompts", "2").table(Selected(rows, dropped), {"prompts": 2})
    record = made.value.record
    assert (record.asset, record.partition, record.run_id) == ("prompts", "2", "a run")
    assert (record.rows, record.dropped, record.numbers) == (2, 2, {"prompts": 2})
    assert record.version == version_of(rows)
    assert record.settings == settings_of(run, "prompts", "2")
    assert record.policy is None
    assert made.data_version == dg.DataVersion(record.version)
    shown = metadata(made)
    assert shown["dagster/row_count"] == 2
    assert shown["prompts"] == 2
    assert shown["settings"] == record.settings
    assert shown["dropped"] == "- 2 too_long"


def test_what_a_model_wrote_names_the_model(run: Run) -> None:
    """Its fingerprint is in the record and in the UI."""
    policy = Model("tiny/checkpoints/1", "f00d", "M1")
    made = work(run, "prompts", "2", policy).table(table("a"), {})
    assert made.value.record.policy == metadata(made)["policy"] == "f00d"


def test_a_models_version_is_its_fingerprint(run: Run) -> None:
    made = work(run, "checkpoints", "1").model(Model("tiny/checkpoints/1", "f00d", "M1"), {"loss": 0.5})
    assert made.value.record.version == "f00d"
    assert made.data_version == dg.DataVersion("f00d")
    shown = metadata(made)
    assert (shown["path"], shown["model"], shown["loss"]) == ("tiny/checkpoints/1", "M1", 0.5)


def test_the_first_work_of_a_run_stores_its_recipe(run: Run) -> None:
    """Also when it is launched in the UI. An asset of the family alone makes no run."""
    work(run, "seed_prompts", None)
    assert files(run.data) == {}
    work(run, "prompts")
    assert list(files(run.data)) == ["tiny/recipe.yaml"]
    (run.folder / "recipe.yaml").write_text("as it was launched")
    work(run, "prompts")
    assert files(run.data) == {"tiny/recipe.yaml": b"as it was launched"}


def test_the_judges_side_of_an_actors_iteration(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """An empty table that says why."""
    caplog.set_level("INFO")
    begun = work(run, "selected_responses", "2")
    made = begun.nothing()
    assert isinstance(made.value.rows, pl.DataFrame)
    assert made.value.rows.equals(SELECTED_RESPONSES.empty())
    assert made.value.record.rows == made.value.record.dropped == 0
    assert "preview" not in metadata(made)
    assert "trains no judge" in caplog.text
    assert begun.is_off
    assert not work(run, "selected_responses", "1").is_off
    assert not work(run, "actor_pairs", "2").is_off


def test_what_was_chosen_is_in_force_recorded_and_shown(run: Run) -> None:
    """The settings are the effective ones; beside them, in a table, what departs from the recipe. Places are the run's.

    Another seed changes neither the family, which is named by its settings, nor what is stored as launched.
    """
    complete(run, "seed_prompts")
    begun = work(run, "actor_pairs", "2", rho=0.3, seed=7, max_chosen_chars=None)
    assert (begun.run.recipe.row(2).rho, begun.run.recipe.seed) == (0.3, 7)
    assert (begun.run.family, begun.run.folder) == (run.family, run.folder)
    assert (run.folder / "recipe.yaml").read_text().endswith(run.recipe.dump_yaml())
    made = begun.table(ACTOR_PAIRS.empty(), {})
    record = made.value.record
    assert (record.settings["iteration.rho"], record.settings["seed"]) == (0.3, 7)
    assert record.overrides == {"rho": 0.3, "seed": 7}
    shown = metadata(made)
    assert shown["settings"] == record.settings
    assert next(iter(shown)) == "departs from the recipe"
    assert shown["departs from the recipe"].splitlines() == [
        "| setting | used | recipe |",
        "| --- | --- | --- |",
        "| rho | 0.3 | 0.0 |",
        "| seed | 7 | 0 |",
    ]


def test_nothing_departs_without_a_choice(run: Run) -> None:
    made = work(run, "actor_pairs", "2", rho=0.0, without=[]).table(ACTOR_PAIRS.empty(), {})
    assert made.value.record.overrides == {}
    assert "departs from the recipe" not in metadata(made)


def test_a_choice_that_contradicts_the_recipe_is_an_error(run: Run) -> None:
    with pytest.raises(UserError, match="schedule_epochs = 3 epochs; keep one of them"):
        work(run, "checkpoints", "1", keep_epoch=4)
    assert files(run.data) == {}


def test_a_stale_policy_is_an_error(run: Run) -> None:
    """policy[2] points at M1; M1 is trained again: whoever takes the old pointer is told to take the new one."""
    complete(run, "checkpoints", "1", version="f00d")
    old = Model("tiny/checkpoints/1", "f00d", "M1")
    work(run, "responses", "2", old)
    complete(run, "checkpoints", "1", version="beef")
    with pytest.raises(
        dg.Failure, match=r"M1 with fingerprint f00d.* now holds beef.*Materialize policy of iteration 2"
    ):
        work(run, "responses", "2", old)
    work(run, "responses", "2", Model("tiny/checkpoints/1", "beef", "M1"))


def test_a_seed_model_has_no_record_to_compare_with(run: Run, tmp_path: Path) -> None:
    """Without SFT, M_0 is the user's own folder."""
    work(run, "responses", "1", Model(str(tmp_path), "f00d", "seed"))


def test_the_table_of_the_iteration_before(run: Run) -> None:
    """It is there if it lies beside its record; before the first there is none."""
    assert work(run, "responses", "1").earlier("responses") == {}
    assert work(run, "responses", "2").earlier("responses") == {}
    complete(run, "responses", "1")
    run.path("responses", "1").unlink()
    assert work(run, "responses", "2").earlier("responses") == {}
    RESPONSES.empty().write_parquet(run.path("responses", "1"))
    [before] = work(run, "responses", "2").earlier("responses").values()
    assert before.lazy().collect().equals(RESPONSES.empty())
    pl.DataFrame({"response": ["a"]}).write_parquet(run.path("responses", "1"))
    with pytest.raises(UserError, match="Materialize responses again with this version"):
        work(run, "responses", "2").earlier("responses")


def test_progress_has_rate_and_time_left(run: Run, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """1,000 of 4,000 after 10 s: 100 a second, 30 s for the other 3,000. One line in five seconds, and the end."""
    clock[0] = 100.0
    report = work(run, "judgments").progress("judgments", "requests")
    for seconds, done in [(4, 500), (10, 1000), (14, 1400), (16, 2000), (17, 4000)]:
        clock[0] = 100.0 + seconds
        report(done, 4000, more="448 running" if done == 1000 else "")
    assert caplog.messages == [
        "judgments: 1,000 of 4,000 requests, 100/s, 30 s left (448 running)",
        "judgments: 2,000 of 4,000 requests, 125/s, 16 s left",
        "judgments: 4,000 of 4,000 requests, 235/s, 0 s left",
    ]


def test_progress_by_tokens(run: Run, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Where tokens are known they tell rate, time left and share: 15 of 16 requests, and a long one under way."""
    report = work(run, "judgments").progress("judgments", "requests")
    clock[0] = 20.0
    report(15, 16, more="1 running", sampled=Sampled(7000, 350.0, 2.0, 0.91))
    assert caplog.messages == ["judgments: 15 of 16 requests, 7,000 tokens, 350 tokens/s, 2 s left (1 running)"]
    found = noted(run, "judgments", "1")
    assert found is not None
    assert (found.share, found.rate, found.seconds_left) == (0.91, 350.0, 2.0)


def test_progress_of_a_run_that_goes_on(run: Run, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """20 of 30 steps were there before: 5 more in 10 s are one every two seconds, and 10 s for the last five."""
    report = work(run, "checkpoints").progress("checkpoints (M1)", "steps")
    clock[0] = 10.0
    report(25, 30, 20)
    assert caplog.messages == ["checkpoints (M1): 25 of 30 steps, 0.5/s, 10 s left"]


def test_progress_that_knows_no_rate(run: Run, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """What an earlier run did says nothing of the rate, however long this one took to find it again."""
    report = work(run, "judgments").progress("judgments", "requests")
    clock[0] = 8.0
    report(400, 800, 400)
    assert caplog.messages == ["judgments: 400 of 800 requests"]


def test_progress_of_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """No division by zero."""
    caplog.set_level("INFO")
    work(run, "judgments").progress("judgments", "requests")(0, 0)
    assert "0 of 0 requests" in caplog.text
