"""What the assets share: true records, policies that are what they say, safe previews, progress."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import dagster as dg
import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.runs.settings import settings_of
from mr_assets.tables import ACTOR_PAIRS, PROMPTS, RESPONSES, SELECTED_RESPONSES, Selected, dropped_frame, version_of
from mr_assets.wiring import previews, training
from mr_assets.wiring.materialization import Materialization
from mr_assets_tests.tiny import NAME, complete, files, tiny_run


@dataclass
class Context:
    """What an asset's context is to `Materialization`."""

    asset: str
    partition: str | None = "1"
    run_id: str = "a run"
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))
    op_config: dict[str, Any] = field(default_factory=dict)

    @property
    def op_execution_context(self) -> "Context":
        return self

    @property
    def run(self) -> dg.DagsterRun:
        return dg.DagsterRun("job", run_config={"ops": {f"tiny__{self.asset}": {"config": self.op_config}}})

    @property
    def asset_key(self) -> dg.AssetKey:
        return dg.AssetKey(["tiny", self.asset])

    @property
    def has_partition_key(self) -> bool:
        return self.partition is not None

    @property
    def partition_key(self) -> str | None:
        return self.partition


def work(
    run: Run, asset: str, partition: str | None = "1", policy: Model | None = None, **config: Any
) -> Materialization:
    context = Context(asset, partition, op_config=config)
    return Materialization(cast(dg.AssetExecutionContext, context), run, policy)


def table(*prompts: str) -> pl.DataFrame:
    return pl.DataFrame([(f"p{i}", p) for i, p in enumerate(prompts)], schema=PROMPTS.schema, orient="row")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return tiny_run(tmp_path)


def metadata(result: dg.MaterializeResult[Any]) -> dict[str, Any]:
    """Metadata as plain values."""
    return {k: getattr(v, "value", v) for k, v in (result.metadata or {}).items()}


# ------------------------------------------------------------------------------------------------------- records


def test_inputs_are_recorded_as_they_were_when_the_work_began(run: Run) -> None:
    """seed_prompts was materialized again while prompts were drawn: what was drawn is out of date, and says so."""
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


def test_figures_that_are_missing_are_not_shown(run: Run) -> None:
    """Nested ones are JSON; what Dagster can plot stays a number."""
    shown = metadata(work(run, "prompts").table(table("a"), {"mean": None, "share": 0.5, "by score": {"5": 2}}))
    assert "mean" not in shown
    assert (shown["share"], shown["by score"]) == (0.5, {"5": 2})


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


# -------------------------------------------------------------------------------------------------------- policy


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


# ------------------------------------------------------------------------------------------------------- preview

HOSTILE = "<script>alert(1)</script> [a](javascript:x) ![i](http://t) `c` *b* | $x$ &lt; \\ ~s~ # h"


def test_previews_show_texts_and_run_none(run: Run) -> None:
    """Every character that Markdown, HTML or a formula could act on is written by its number; lines are joined."""
    made = work(run, "prompts").table(table(HOSTILE, "two\nlines", "x" * 500, "fourth"), {})
    header, rule, ids, texts = metadata(made)["preview"].splitlines()
    assert header == "| column | row 1 | row 2 | row 3 |"
    assert rule == "| --- | --- | --- | --- |"
    assert ids == "| prompt_id | p0 | p1 | p2 |"
    assert texts.endswith(f" | two lines | {'x' * 160} |")
    hostile = texts.removeprefix("| prompt | ").removesuffix(f" | two lines | {'x' * 160} |")
    assert hostile.startswith("&#60;script&#62;alert&#40;1&#41;&#60;/script&#62; &#91;a&#93;&#40;javascript:x")
    assert not set(hostile.replace("&#", "")) & set("<>[]()`*|$\\~#!&")


def test_previews_leave_token_ids_out(run: Run) -> None:
    frame = pl.DataFrame({"prompt_id": ["a"], "token_ids": [[1]], "chosen_token_ids": [[2]]})
    shown = metadata(work(run, "prompts").table(frame, {}))["preview"]
    assert shown == "| column | row 1 |\n| --- | --- |\n| prompt_id | a |"


def test_previews_are_readable(run: Run) -> None:
    """Messages by their texts, a matrix's numbers to four digits, nothing for what is missing."""
    said = [{"role": "user", "content": "two _words_"}]
    frame = pl.DataFrame({"prompt_id": ["a"], "prompt": [said], "matrix": [[[0.0, 2 / 3]]], "none": [None]})
    lines = metadata(work(run, "prompts").table(frame, {}))["preview"].splitlines()
    assert lines[3:] == ["| prompt | two &#95;words&#95; |", "| matrix | &#91;0, 0.6667&#93; |", "| none |  |"]


def test_previews_are_short_enough_to_be_shown_in_place(run: Run) -> None:
    """Three long hostile texts would be a link to click on; fewer and shorter ones are shown."""
    made = metadata(work(run, "prompts").table(table(*["<" * 500] * 3), {}))["preview"]
    assert len(made) < previews.SHOWN_IN_PLACE
    assert made.startswith("| column | row 1 | row 2 |\n")
    assert made.endswith(f"| prompt | {'&#60;' * 80} | {'&#60;' * 80} |")


# -------------------------------------------------------------------------------------------------------- checks


def checks(made: dg.MaterializeResult[Any]) -> dict[str | None, dg.AssetCheckResult]:
    return {found.check_name: found for found in made.check_results or ()}


def test_the_checks_of_a_table(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """A repeated id fails with severity ERROR, its numbers and what to do, and is an error in the run's log."""
    seeds = pl.DataFrame({"prompt_id": ["p0"]})
    rows = pl.concat([table("a"), table("a")])
    found = checks(work(run, "prompts").table(rows, {}, beside={"seed_prompts": seeds}))
    assert {name: result.passed for name, result in found.items()} == {
        "not_empty": True,
        "duplicate_ids": False,
        "orphan_ids": True,
    }
    twice = found["duplicate_ids"]
    assert twice.severity == dg.AssetCheckSeverity.ERROR
    assert {k: v.value for k, v in twice.metadata.items()} == {
        "repeated ids": 1,
        "rows": 2,
        "value": 0.5,
        "warns at": 0.0,
        "stops at": 0.0,
    }
    said = "Expected at most 0% of rows to repeat an id, came 50%: 1 of 2."
    assert (twice.description or "").startswith(said)
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.message.startswith(f"check duplicate_ids of prompts: {said}")


def test_the_checks_of_what_is_empty_by_declaration(run: Run) -> None:
    """They pass, and say why."""
    found = checks(work(run, "elo_pairs", "2").nothing())
    assert set(found) == {"not_empty", "duplicate_ids", "orphan_ids", "pair_yield", "chosen_length"}
    for result in found.values():
        assert (result.passed, result.description) == (True, "Empty: this iteration trains the actor alone.")


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


# ------------------------------------------------------------------------------------------------------ progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[float]:
    """The seconds that progress goes by, to be set; what it logs is kept."""
    caplog.set_level("INFO")
    now = [0.0]
    monkeypatch.setattr("mr_assets.wiring.materialization.time.monotonic", lambda: now[0])
    return now


def test_progress_has_rate_and_time_left(run: Run, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """1,000 of 4,000 after 10 s: 100 a second, 30 s for the other 3,000. One line in five seconds, and the end."""
    clock[0] = 100.0
    report = work(run, "judgments").progress("judgments", "requests")
    for seconds, done in [(4, 500), (10, 1000), (14, 1400), (16, 2000), (17, 4000)]:
        clock[0] = 100.0 + seconds
        report(done, 4000)
    assert caplog.messages == [
        "judgments: 1,000 of 4,000 requests, 100/s, 30 s left",
        "judgments: 2,000 of 4,000 requests, 125/s, 16 s left",
        "judgments: 4,000 of 4,000 requests, 235/s, 0 s left",
    ]


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


def test_progress_of_training_counts_from_the_first_step(
    run: Run, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """30 s for the models and step 1, then 5 steps in 10 s: one every two seconds, and 12 s for the last six."""
    on_metrics = training.reporter(work(run, "checkpoints"), "checkpoints (M1)")
    for seconds, step in [(30, 1), (40, 6)]:
        clock[0] = seconds
        on_metrics({"step": step, "total_steps": 12})
    assert caplog.messages == ["checkpoints (M1): 6 of 12 steps, 0.5/s, 12 s left"]


def test_an_epoch_that_is_taken_without_training_is_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """Which one and from where; it is no progress."""
    caplog.set_level("INFO")
    on_metrics = training.reporter(work(run, "checkpoints"), "checkpoints (M1)")
    on_metrics({"kept_epoch": 2, "folder": "checkpoints/1/epochs/2"})
    [said] = caplog.messages
    assert said.startswith("checkpoints (M1): no step is trained.")
    assert "epoch 2 is taken from checkpoints/1/epochs/2" in said


def test_progress_of_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """No division by zero."""
    caplog.set_level("INFO")
    work(run, "judgments").progress("judgments", "requests")(0, 0)
    assert "0 of 0 requests" in caplog.text


def test_accelerates_configuration_is_looked_for_in_the_data_folder(tmp_path: Path) -> None:
    """As every file of a recipe; not where the command was given."""
    recipe = load_recipe(NAME, ["dpo.accelerate_config=fsdp.yaml"])
    places = {"root": tmp_path, "model": tmp_path, "data": tmp_path, "out": tmp_path}
    assert training.training_job(
        "dpo", recipe.dpo, **places, keep_epoch=1, seed=0, learning_rate=1e-5
    ).accelerate_config == str(tmp_path / "fsdp.yaml")
    assert recipe.sft is not None
    assert training.training_job("sft", recipe.sft, **places, seed=0).accelerate_config is None
