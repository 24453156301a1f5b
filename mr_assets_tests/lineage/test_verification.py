"""`mr verify`: a run that is as it was made has no fault; whatever is changed in it, is found."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from mr_assets.cli.main import main
from mr_assets.errors import shown
from mr_assets.lineage import trace
from mr_assets.lineage.tree import lines
from mr_assets.lineage.verification import Fault, verify
from mr_assets.loop import LOOP
from mr_assets.method.dpo_dataset import turned
from mr_assets.orchestration.steps import Step
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save
from mr_assets.tables import (
    TABLES,
    dropped_path,
)
from mr_assets.training.margins import MARGINS, MEAN
from mr_assets_tests.lineage.conftest import change, dropped, forge, rematerialized, table
from mr_assets_tests.whole_runs.test_loop import new_world

TABLES_OF_A_RUN = [asset for asset in LOOP.per("iteration") if asset in TABLES]


def faults(run: Run) -> list[Fault]:
    return list(verify(run, ["1"]))


def faults_of(run: Run, asset: str) -> list[Fault]:
    """Those of one asset alone, which costs a fraction of working out all."""
    return list(verify(run, ["1"], [asset]))


def test_a_run_as_it_was_made_follows_from_its_ancestors(finished: Run) -> None:
    """Both iterations: the second, without a judge's side, too."""
    assert list(verify(finished)) == []


@pytest.mark.parametrize("asset", ["seed_prompts", *TABLES_OF_A_RUN])
def test_any_change_is_found_by_the_records_version(run: Run, asset: str) -> None:
    """Whatever is changed, even a text that nothing was made of: here the rows are turned around."""
    t = None if asset == "seed_prompts" else "1"
    change(run, asset, lambda rows: rows.reverse(), t)
    assert [f.asset for f in faults(run) if "its record says" in f.said] == [asset]


def other(value: Any) -> Any:
    """A value of the same type that is another."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case [first, *rest]:
            return [other(first), *rest]
        case dict():
            return value | {"content": value["content"] + "x"}
    return "x"


# What follows from something: of each table every column but the sampled texts themselves and their token ids.
FOLLOWS = {
    "prompts": ("prompt_id", "prompt"),
    "responses": ("response_id", "prompt_id", "k", "duplicate_of", "finish_reason"),
    "judgments": ("judgment_id", "response_id", "n", "score", "invalid", "finish_reason"),
    "meta_judgments": ("meta_judgment_id", "response_id", "first_id", "second_id", "winner", "invalid", "copied_from"),
    **{a: tuple(TABLES[a].columns) for a in ("actor_pairs", "selected_responses", "battle_matrices", "elo_pairs")},
    "dpo_dataset": tuple(TABLES["dpo_dataset"].columns),
}
CELLS = [(asset, column) for asset, columns in FOLLOWS.items() for column in columns]


@pytest.mark.parametrize(("asset", "column"), CELLS)
def test_a_changed_cell_is_found_though_the_records_agree(run: Run, asset: str, column: str) -> None:
    """One cell of the table's second row is another, and every record says that it has always been."""
    before = table(run, asset)
    dtype, value = before.schema[column], before[column].to_list()
    value[1] = other(value[1]) if value[1] is not None else (1.5 if dtype == pl.Float64 else "x")
    forge(run, asset, lambda rows: rows.with_columns(pl.Series(column, value, dtype=dtype)))
    found = faults_of(run, asset)
    assert found, f"{column} of {asset}"
    key = TABLES[asset].key
    assert {fault.id for fault in found} <= {before[key][1], table(run, asset)[key][1]}


def test_a_judgments_text_that_gives_another_score_is_found(run: Run) -> None:
    """The score is read from the text again."""
    first = table(run, "judgments")["judgment_id"][0]
    text = pl.when(pl.col("judgment_id") == first).then(pl.lit("Score: 0.25")).otherwise("judgment")
    forge(run, "judgments", lambda rows: rows.with_columns(judgment=text))
    assert (first, True) in [(f.id, "its ancestors give 0.25" in f.said) for f in faults(run)]


def test_a_verdicts_text_that_names_another_winner_is_found(run: Run) -> None:
    said = pl.when(pl.col("winner") == "first").then(pl.lit("Winner: Judgement B")).otherwise("meta_judgment")
    forge(run, "meta_judgments", lambda rows: rows.with_columns(meta_judgment=said))
    named = {f.id for f in faults(run) if f.asset == "meta_judgments" and f.said.startswith("winner")}
    assert named == set(table(run, "meta_judgments").filter(pl.col("winner") == "first")["meta_judgment_id"])


def test_a_sampled_battle_without_a_text_is_found(run: Run) -> None:
    """Only equal texts are not battled, and only what did not fit is not sampled."""
    silent = pl.col("invalid") != "identical_battle"
    name = table(run, "meta_judgments").filter(silent.fill_null(True))["meta_judgment_id"][0]
    gone = pl.col("meta_judgment_id") == name
    changes = [pl.when(~gone).then(c).alias(c) for c in ("meta_judgment", "winner")]
    why = pl.when(gone).then(pl.lit("identical_battle")).otherwise("invalid").alias("invalid")
    forge(run, "meta_judgments", lambda rows: rows.with_columns(*changes, why))
    assert name in {f.id for f in faults(run) if f.asset == "meta_judgments"}


def test_a_trained_text_that_nobody_sampled_is_found(run: Run) -> None:
    """The dataset's texts and token ids are those of the responses and the judgments."""
    pair = table(run, "actor_pairs").row(0, named=True)
    text = pl.when(pl.col("response_id") == pair["chosen_id"]).then(pl.lit("other")).otherwise("response")
    forge(run, "responses", lambda rows: rows.with_columns(response=text))
    assert ("dpo_dataset", pair["pair_id"]) in [(f.asset, f.id) for f in faults(run)]


def test_sides_that_the_coin_would_have_turned_are_found(run: Run) -> None:
    """Row 30: a record that says that judge pairs were shuffled, and a table whose sides are as they were ranked."""
    path = run.record_path("dpo_dataset", "1")
    said = json.loads(path.read_text())
    path.write_text(json.dumps(said | {"settings": said["settings"] | {"switches.judge_pairs": "shuffled"}}))
    judge = [i for i in table(run, "dpo_dataset")["pair_id"] if i.endswith(".judge")]
    those = {i for i in judge if turned(i, run.recipe.seed)}
    assert 0 < len(those) < len(judge)
    assert {fault.id for fault in faults_of(run, "dpo_dataset")} == those
    for identity in judge:
        found = trace(run, identity).rounds[0].pair("judge")
        assert found is not None and found.turned == (identity in those)
        assert ("with its sides changed" in "\n".join(lines(trace(run, identity)))) == found.turned


@pytest.mark.parametrize("asset", TABLES_OF_A_RUN)
def test_a_missing_row_is_found(run: Run, asset: str) -> None:
    gone = table(run, asset)[TABLES[asset].key][0]
    forge(run, asset, lambda rows: rows.slice(1))
    assert (asset, gone, "it is missing.") in [(f.asset, f.id, f.said) for f in faults_of(run, asset)]


@pytest.mark.parametrize("asset", TABLES_OF_A_RUN)
def test_a_row_twice_and_a_row_from_nowhere_are_found(run: Run, asset: str) -> None:
    key = TABLES[asset].key
    forge(run, asset, lambda rows: pl.concat([rows, rows.head(1), rows.tail(1).with_columns(pl.col(key) + "0")]))
    there = table(run, asset)[key]
    found = [(f.id, f.said) for f in faults_of(run, asset)]
    assert (there[0], "it is there more than once.") in found
    assert (there[-1], "nothing it could come of is there.") in found


CHANGES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "another reason": lambda rows: rows.with_columns(reason=pl.lit("lost_draw")),
    "other numbers": lambda rows: rows.with_columns(numbers=pl.lit("{}")),
    "fewer": lambda rows: rows.slice(1),
}


@pytest.mark.parametrize("how", CHANGES)
def test_what_was_dropped_is_compared_too(run: Run, how: str) -> None:
    """Reasons, the numbers behind them, and that all are there."""
    rows = dropped(run, "selected_responses")
    path = dropped_path(run.path("selected_responses", "1"))
    CHANGES[how](rows).write_parquet(path)
    assert [f for f in faults(run) if f.asset == "selected_responses" and f.id]


def test_a_model_that_was_touched_is_found(run: Run) -> None:
    """Its folder has another fingerprint than its record, and than the policy that points at it."""
    (run.path("checkpoints", "1") / "config.json").write_text("{}")
    found = {(f.asset, f.partition) for f in verify(run)}
    assert found == {("checkpoints", "1"), ("policy", "2")}


def faults_with(run: Run, margins: pl.DataFrame) -> list[tuple[str | None, str]]:
    """What is said of which pair when the first model's reward margins are these."""
    margins.write_parquet(run.path("checkpoints", "1") / MARGINS)
    found = faults(run)
    assert {f.asset for f in found} == {"checkpoints"}
    return [(f.id, f.said) for f in found]


def margins_of(run: Run) -> pl.DataFrame:
    return pl.read_parquet(run.path("checkpoints", "1") / MARGINS)


def test_reward_margins_are_those_of_the_dataset(run: Run) -> None:
    """A pair without one, one that was not trained on, and one twice."""
    pairs, margins = table(run, "dpo_dataset")["pair_id"], margins_of(run)
    stranger = margins[:1].with_columns(pair_id=pl.lit("1.0123456789ab.actor"))
    assert faults_with(run, pl.concat([margins[1:], margins[-1:], stranger]))[:3] == [
        (pairs[-1], "it has more than one reward margin."),
        (pairs[0], "it is in the DPO dataset and has no reward margin."),
        ("1.0123456789ab.actor", "it has a reward margin and is not in the DPO dataset."),
    ]


@pytest.mark.parametrize("value", [0.75, float("nan"), None])
def test_a_reward_margin_is_the_difference_of_its_rewards(run: Run, value: float | None) -> None:
    """Pair 3 has 3/4 - 1/4 = 1/2; what is no number differs from every number."""
    margins = margins_of(run)
    pair, values = margins["pair_id"][3], margins["reward_margin"].to_list()
    values[3] = value
    found = faults_with(run, margins.with_columns(reward_margin=pl.Series(values, dtype=pl.Float64)))
    assert [x for x in found if x[0]] == [(pair, f"reward_margin is {shown(value)}, its two rewards give 0.5.")]


def test_rewards_that_were_touched_are_found_by_the_records_figures(run: Run) -> None:
    """All of them 1 higher on the chosen side, with the margins to match; then there is no table at all."""
    found = faults_with(run, margins_of(run).with_columns(pl.col("chosen_reward", "reward_margin") + 1))
    assert {identity for identity, _ in found} == {None}
    assert found[0][1].startswith(f"{MEAN.format('pairs')}, is ")
    (run.path("checkpoints", "1") / MARGINS).unlink()
    assert [f.said for f in faults(run)] == [f"its record has reward margins, its folder has no {MARGINS}."]


def test_a_model_of_an_earlier_version_has_no_margins_to_verify(run: Run) -> None:
    (run.path("checkpoints", "1") / MARGINS).unlink()
    path = run.record_path("checkpoints", "1")
    record = json.loads(path.read_text())
    record["numbers"] = {n: v for n, v in record["numbers"].items() if "after training" not in n}
    path.write_text(json.dumps(record))
    assert faults(run) == []


def test_what_was_made_of_something_else_is_said_and_not_compared(run: Run) -> None:
    """judgments were re-materialized: what was made of the earlier ones says so, once for each."""
    rematerialized(run, "judgments")
    stale = [f for f in faults(run) if "was made of judgments of iteration 1 in version" in f.said]
    expected = ["actor_pairs", "selected_responses", "meta_judgments", "elo_pairs", "dpo_dataset"]
    assert [f.asset for f in stale] == expected
    assert all(f.id is None for f in stale)


def test_a_table_of_other_columns_is_a_fault_and_no_traceback(run: Run) -> None:
    change(run, "judgments", lambda rows: rows.drop("score"))
    said = {f.asset for f in faults(run) if "table judgments does not have the columns it should" in f.said}
    assert said == {"judgments", "actor_pairs", "selected_responses", "meta_judgments", "elo_pairs", "dpo_dataset"}


def test_a_file_that_is_no_table_is_a_fault_and_no_traceback(run: Run) -> None:
    """A table cut short: it cannot be read, and neither can what is made of it be compared."""
    path = run.path("battle_matrices", "1")
    path.write_bytes(path.read_bytes()[:100])
    assert {f.asset for f in faults(run)} == {"battle_matrices", "elo_pairs"}


@pytest.mark.slow
def test_the_command_exits_with_1_when_something_is_wrong(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names artifact, id, what came and what was expected; --json says the same for programs."""
    save(run)
    monkeypatch.setenv("MR_DATA", str(run.data))
    clean = CliRunner().invoke(main, ["verify", "tiny"])
    assert (clean.exit_code, clean.output) == (0, "tiny: everything follows from its ancestors\n")
    pair = table(run, "actor_pairs")["pair_id"][0]
    forge(run, "actor_pairs", lambda rows: rows.with_columns(score_max=pl.lit(9.0)))
    spoilt = CliRunner().invoke(main, ["verify", "tiny", "--iteration", "1"])
    assert spoilt.exit_code == 1
    assert f"actor_pairs of iteration 1, {pair}: score_max is 9.0, its ancestors give" in spoilt.output
    listed = json.loads(CliRunner().invoke(main, ["verify", "tiny", "--json"]).output)
    assert {(fault["asset"], fault["id"]) for fault in listed} >= {("actor_pairs", pair)}
    assert CliRunner().invoke(main, ["verify", "nowhere"]).exit_code == 1


FIGURES = [
    ("responses", "mean characters"),
    ("judgments", "parse rate"),
    ("meta_judgments", "battles"),
    ("actor_pairs", "pairs"),
    ("elo_pairs", "mean Elo gap"),
    ("dpo_dataset", "judge share"),
    ("checkpoints", "loss"),
    ("evaluation", "true_score"),
]


@pytest.mark.parametrize(("asset", "name"), FIGURES)
def test_a_figure_that_was_touched_is_found(run: Run, asset: str, name: str) -> None:
    """What the UI shows of an artifact is what its table or its log gives."""
    path = run.record_path(asset, "1")
    record = json.loads(path.read_text())
    said = record["numbers"][name] + 1
    path.write_text(json.dumps(record | {"numbers": record["numbers"] | {name: said}}))
    found = faults(run)
    assert [(f.asset, f.id) for f in found] == [(asset, None)]
    assert found[0].said.startswith(f"{name} is ")
    assert found[0].said.endswith(f"its record says {shown(said)}.")


def test_an_evaluation_or_a_log_that_was_touched_is_found(run: Run) -> None:
    change(run, "evaluation", lambda rows: rows.with_columns(true_score=pl.lit(5.0)), "seed")
    log = run.path("checkpoints", "1") / "training_log.jsonl"
    log.write_text(log.read_text().replace("0.6", "0.1"))
    assert {(f.asset, f.partition) for f in verify(run)} == {("evaluation", "seed"), ("checkpoints", "1")}


@pytest.mark.parametrize("content", [b"", b"PAR1" + b"\xff" * 400 + b"PAR1", None], ids=["empty", "noise", "folder"])
@pytest.mark.parametrize("asset", ["judgments", "evaluation", "checkpoints"])
def test_a_file_that_cannot_be_read_is_a_fault(run: Run, asset: str, content: bytes | None) -> None:
    """Whatever a reader does about it; the fault names the file."""
    path = run.path(asset, "1") / "training_log.jsonl" if asset == "checkpoints" else run.path(asset, "1")
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    assert [f for f in faults(run) if f.asset == asset and str(path) in f.said]


def test_a_panic_of_a_reader_is_a_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """polars' is no `Exception`."""

    def panics(rows: object) -> str:
        raise pl.exceptions.PanicException("index out of bounds")

    monkeypatch.setattr("mr_assets.lineage.verification.version_of", panics)
    assert {f.said.rpartition(": ")[2] for f in faults(run)} == {"index out of bounds"}


def test_a_record_that_is_no_json_is_a_fault(run: Run) -> None:
    path = run.record_path("judgments", "1")
    path.write_text("{")
    assert [f for f in faults(run) if f.asset == "judgments" and str(path) in f.said]


# ------------------------------------------------------------------------------------------------------ as a check


def test_the_check_warns_and_names_the_rows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is trained on a pair that nobody judged so: that is said, and training goes on."""
    pair = table(run, "actor_pairs")["pair_id"][0]
    forge(run, "actor_pairs", lambda rows: rows.with_columns(chosen_score=pl.lit(4.875)))
    world = new_world(monkeypatch, run.data)
    assert world.materialize(Step("the model again", ("checkpoints",), "1")).success
    found = world.check("checkpoints", "follows_from_ancestors", "1")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert f"actor_pairs of iteration 1, {pair}: chosen_score is 4.875, its ancestors give" in (found.description or "")
    assert "`mr verify tiny --iteration 1` lists all of them" in (found.description or "")


def test_prompts_of_another_date_than_was_sampled_with_are_a_fault(run: Run) -> None:
    """Each by itself follows from its ancestors; what was trained on is not what was sampled."""
    for asset in ("responses", "judgments"):
        path = run.record_path(asset, "1")
        record = json.loads(path.read_text())
        record["settings"]["model.date"] = "1999-12-31"
        path.write_text(json.dumps(record))
    assert [str(f) for f in faults(run)] == [
        f"dpo_dataset of iteration 1: its prompts were made with another model.date than those of {asset}."
        for asset in ("responses", "judgments")
    ]


def test_what_an_earlier_version_did_not_record_is_no_fault(run: Run) -> None:
    """And nothing is stale for it."""
    for asset in ("responses", "judgments", "dpo_dataset"):
        path = run.record_path(asset, "1")
        record = json.loads(path.read_text())
        for setting in ("model.date", "model.chat_template_kwargs"):
            del record["settings"][setting]
        path.write_text(json.dumps(record))
        assert state(run, asset, "1") == "done"
    assert faults(run) == []
