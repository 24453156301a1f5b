"""The list of pairs: its gaps in plain arithmetic, and what each filter lets through."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from click.testing import CliRunner, Result

from mr_assets.cli.main import main
from mr_assets.errors import UserError
from mr_assets.ids import PAIR_ASSETS
from mr_assets.lineage import trace
from mr_assets.lineage.pairs import GAPS, SCHEMA, Between, Query, pairs
from mr_assets.lineage.tree import lines
from mr_assets.method.dropped import REASONS
from mr_assets.recipes.sets import with_sets
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets.worlds import letters
from mr_assets.worlds.truth import AGREEMENTS, COUNTED
from mr_assets_tests.lineage.conftest import change, rematerialized, table, with_hostile_texts
from mr_assets_tests.lineage.test_tree import ESCAPES

Mr = Callable[..., Result]


@pytest.fixture
def mr(run: Run, monkeypatch: pytest.MonkeyPatch) -> Mr:
    save(run)
    monkeypatch.setenv("MR_DATA", str(run.data))
    return lambda *arguments: CliRunner().invoke(main, list(arguments))


def test_every_pair_of_every_iteration_is_listed(finished: Run) -> None:
    """With its own gaps: an actor pair's scores are means, a judge pair's those that its two judgments give."""
    found = pairs(finished)
    assert dict(found.schema) == dict(SCHEMA)
    for t in finished.iterations:
        expected = [*table(finished, "actor_pairs", t)["pair_id"], *table(finished, "elo_pairs", t)["pair_id"]]
        assert found.filter(iteration=t)["pair_id"].to_list() == expected
    scores = dict(table(finished, "judgments").select("judgment_id", "score").iter_rows())
    actor, judge = table(finished, "actor_pairs").row(0, named=True), table(finished, "elo_pairs").row(0, named=True)
    a, j = (found.row(by_predicate=pl.col("pair_id") == pair["pair_id"], named=True) for pair in (actor, judge))
    assert a["score_gap"] == actor["chosen_score"] - actor["rejected_score"]
    assert a["length_gap"] == actor["chosen_chars"] - actor["rejected_chars"]
    assert (a["elo_gap"], a["trained_on"]) == (None, True)
    assert j["score_gap"] == scores[judge["chosen_id"]] - scores[judge["rejected_id"]]
    assert j["elo_gap"] == judge["chosen_elo"] - judge["rejected_elo"]


@pytest.mark.parametrize("gap", GAPS)
def test_a_range_lets_through_what_lies_in_it(finished: Run, gap: str) -> None:
    """Both ends included; what has no such gap is out; either end may be left out."""
    everything = pairs(finished)
    values = everything[gap].drop_nulls().sort()
    low, high = values[1], values[-2]
    found, count = Query.parsed(None, None, None, **{gap: f"{low}..{high}"}).answer([finished])
    assert count == found.height == values.is_between(low, high).sum()
    assert Query.parsed(None, None, None, **{gap: f"{high}.."}).answer([finished])[1] == (values >= high).sum()
    assert Query.parsed(None, None, None, **{gap: f"..{low}"}).answer([finished])[1] == (values <= low).sum()


def test_what_is_no_range_is_refused() -> None:
    assert Between.parsed("-3..-1.5") == Between(-3, -1.5)
    assert Between.parsed("2") == Between(2, None)
    with pytest.raises(UserError, match=r"'a\.\.b' is no range"):
        Between.parsed("a..b")


def test_a_text_is_looked_for_in_prompt_and_both_sides(finished: Run) -> None:
    """In any case, and as it stands: a full stop is no pattern."""
    pair = table(finished, "actor_pairs").row(0, named=True)
    texts = dict(table(finished, "responses").select("response_id", "response").iter_rows())
    prompt = dict(table(finished, "prompts").iter_rows())[pair["prompt_id"]]
    for text in (prompt.upper(), texts[pair["chosen_id"]], texts[pair["rejected_id"]]):
        found, _ = Query(text=text).answer([finished])
        assert pair["pair_id"] in found["pair_id"]
        for row in found.iter_rows(named=True):
            assert any(text.lower() in row[side].lower() for side in ("prompt", "chosen", "rejected"))
    assert Query(text="e.....e").answer([finished])[1] == 0


def test_the_largest_gap_comes_first_and_the_count_is_of_all(finished: Run) -> None:
    found, count = Query().answer([finished], sort="length_gap", limit=2)
    gaps = pairs(finished)["length_gap"].sort(descending=True)
    assert (found["length_gap"].to_list(), count) == (gaps[:2].to_list(), len(gaps))


def test_what_was_rematerialized_since_is_not_shown_as_a_pairs(run: Run) -> None:
    """Neither scores nor texts of judgments that the pair was not made of."""
    rematerialized(run, "judgments")
    found = Query(iteration="1", kinds=("judge",)).answer([run])[0]
    assert found.height
    assert found["score_gap"].null_count() == found["chosen"].null_count() == found.height
    assert found["prompt"].null_count() == 0
    rematerialized(run, "elo_pairs")
    assert pairs(run, ["1"], ["judge"])["trained_on"].null_count() == found.height


def test_the_true_gap_is_what_the_checker_says_of_both_sides(finished: Run) -> None:
    """Actor: true score of chosen less rejected. Judge: how much farther from it the rejected judgment's score is."""
    prompts = dict(table(finished, "prompts").iter_rows())
    answers = table(finished, "responses").select("response_id", "prompt_id", "response").iter_rows()
    true = {identity: letters.true_score(prompts[prompt], text) for identity, prompt, text in answers}
    scores = dict(table(finished, "judgments").select("judgment_id", "score").iter_rows())
    found = dict(pairs(finished, ["1"]).select("pair_id", "true_gap").iter_rows())
    for pair, a, b in table(finished, "actor_pairs").select("pair_id", "chosen_id", "rejected_id").iter_rows():
        assert found.pop(pair) == true[a] - true[b]
    for pair, r, a, b in (
        table(finished, "elo_pairs").select("pair_id", "response_id", "chosen_id", "rejected_id").rows()
    ):
        assert found.pop(pair) == abs(scores[b] - true[r]) - abs(scores[a] - true[r])
    assert not found


def test_pairs_are_filtered_and_counted_by_the_truth(finished: Run) -> None:
    """The filter, the figures in the record (which metadata and plots show) and the report say one thing."""
    for kind, asset in PAIR_ASSETS.items():
        record = finished.record(asset, "1")
        assert record is not None
        counts = [Query.parsed("1", kind, None, truth).answer([finished])[1] for truth in AGREEMENTS]
        assert [record.numbers[name] for name in COUNTED.values()] == counts
        assert sum(counts) == record.rows
    with pytest.raises(UserError, match="truth is 'maybe', expected one of agrees, equal, contradicts"):
        Query.parsed(None, None, None, "maybe")


def test_the_truth_of_texts_that_were_rematerialized_is_not_known(run: Run) -> None:
    rematerialized(run, "responses")
    assert pairs(run, ["1"])["true_gap"].null_count() == pairs(run, ["1"]).height


def test_without_a_world_nothing_is_said_of_the_truth(run: Run) -> None:
    files = {"prompts": run.recipe.prompts.model_copy(update={"source": "prompts.jsonl"})}
    real = replace(run, recipe=run.recipe.model_copy(update={"world": None, "evaluation": None, **files}))
    assert pairs(real)["true_gap"].null_count() == pairs(real).height
    assert "tru" not in "\n".join(lines(trace(real, table(run, "actor_pairs")["pair_id"][0]))).lower().replace(
        "true_", ""
    )


def test_a_pair_has_the_reward_margin_of_the_training_on_it(finished: Run, run: Run) -> None:
    """The fake trainer gives pair n of the dataset (n - 1)/4. A model that was trained on other pairs says nothing."""
    found = dict(pairs(finished, ["1"]).select("pair_id", "reward_margin").iter_rows())
    order = table(finished, "dpo_dataset")["pair_id"].to_list()
    assert found == {pair: (n - 1) / 4 for n, pair in enumerate(order)}
    rematerialized(run, "dpo_dataset")
    assert pairs(run, ["1"])["reward_margin"].null_count() == len(order)


def test_no_run_has_no_pairs() -> None:
    found, count = Query().answer([])
    assert (found.height, count) == (0, 0)


# ---------------------------------------------------------------------------------------------------------- commands


def test_mr_pairs_lists_and_filters(mr: Mr, run: Run) -> None:
    pair = table(run, "elo_pairs")["pair_id"][0]
    assert pair in mr("pairs", "tiny").output
    assert pair not in mr("pairs", "--kind", "actor").output
    assert pair not in mr("pairs", "--iteration", "2").output
    assert "1 of " in mr("pairs", "tiny", "--limit", "1").output
    listed = json.loads(mr("pairs", "tiny", "--kind", "judge", "--limit", "0", "--json").output)
    assert [row["pair_id"] for row in listed] == table(run, "elo_pairs")["pair_id"].to_list()
    for wrong in (("pairs", "no_run"), ("pairs", "--iteration", "9"), ("pairs", "--score-gap", "x")):
        result = mr(*wrong)
        assert result.exit_code == 1
        assert "Error: " in result.output


def test_mr_pairs_and_mr_trace_of_a_judgment_without_a_score(mr: Mr, run: Run) -> None:
    """The pairs of its prompt in its iteration, and why it has no score; a model has no such pairs."""
    judgment = table(run, "judgments")["judgment_id"][0]
    lost = pl.when(pl.col("judgment_id") == judgment)
    scores = {
        "score": lost.then(None).otherwise("score"),
        "invalid": lost.then(pl.lit("off_scale")).otherwise("invalid"),
    }
    change(run, "judgments", lambda rows: rows.with_columns(**scores))
    prompt = judgment.split(".")[1]
    for name in (judgment, f"tiny/{judgment}", f"1.{prompt}"):
        found = json.loads(mr("pairs", name, "--json").output)
        assert [row["pair_id"] for row in found] == [f"1.{prompt}.actor", f"1.{prompt}.judge"]
    assert f"invalid: {REASONS['off_scale']}" in mr("trace", judgment).output
    assert "is of iteration 1. Leave it out." in mr("pairs", judgment, "--iteration", "2").output
    assert "is a model" in mr("pairs", "tiny/M1").output


def test_mr_trace_prints_tree_and_json(mr: Mr, run: Run) -> None:
    pair = table(run, "actor_pairs")["pair_id"][0]
    assert mr("trace", pair).output.startswith(f"pair {pair}, run tiny\n├─ prompt ")
    told = json.loads(mr("trace", f"tiny/{pair}", "--json").output)
    assert (told["id"], told["run"], told["rounds"][0]["pairs"][0]["id"]) == (pair, "tiny", pair)
    assert mr("trace", "nothing").exit_code == 1
    assert "is no id" in mr("trace", "nothing").output


def test_changed_settings_are_said_to_be_stale(mr: Mr, run: Run) -> None:
    """Of what the id is, or of what was made of it: nothing upstream changed, and the run would make it again."""
    pair = table(run, "actor_pairs")["pair_id"][0]
    for command in (
        ["trace", pair],
        ["trace", "M1"],
        ["trace", pair, "--more"],
        ["compare", "tiny", "--set", "rho=0.3"],
    ):
        said = mr(*command).output
        assert "STALE" not in said and "stale" not in said
    assert json.loads(mr("trace", pair, "--json").output)["stale"] == []
    save(replace(run, recipe=with_sets(run.recipe, ["iterations.1.rho=0.2"])))
    why = "iteration.rho was 0.0, is now 0.2"
    for command in (["trace", pair], ["trace", pair, "--more"]):
        assert f"├─ STALE: actor_pairs of iteration 1: {why}\n" in mr(*command).output
    assert json.loads(mr("trace", pair, "--json").output)["stale"] == [f"actor_pairs of iteration 1: {why}"]
    assert (
        "├─ STALE: checkpoints of iteration 1: comes of actor_pairs of iteration 1, which" in mr("trace", "M1").output
    )
    assert f"  stale in tiny: {why}\n" in mr("compare", "tiny", "--set", "rho=0.3").output
    compared = json.loads(mr("compare", "tiny", "--set", "rho=0.3", "--iteration", "1", "--json").output)
    assert {each["kind"]: each["stale"] for each in compared} == {"actor": {"tiny": why}, "judge": {}}
    save(replace(run, recipe=with_sets(run.recipe, ["dpo.beta=0.3"])))
    assert "├─ STALE: checkpoints of iteration 1: dpo.beta was 0.1, is now 0.3\n" in mr("trace", pair).output


def test_the_whole_tree_fits_the_terminal(mr: Mr, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken at blanks, with the bars of the tree before what continues a line."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    for identity in (table(run, "actor_pairs")["pair_id"][0], table(run, "elo_pairs")["pair_id"][0], "M2"):
        first, *others = mr("trace", identity, "--more").output.splitlines()
        assert all(len(line) <= 80 for line in (first, *others))
        assert all(line[0] in "│├└ " for line in others)
        top = [n for n, line in enumerate(others) if line[0] in "├└"]
        assert all(others[n][0] == "│" for n in range(top[-1]) if n not in top)


def test_a_table_that_cannot_be_read_is_a_message(mr: Mr, run: Run) -> None:
    """Cut short, or of another version's columns: which one, and what to do."""
    pair = table(run, "actor_pairs")["pair_id"][0]
    path = run.path("judgments", "1")
    for broken in (path.read_bytes()[:-100], table(run, "responses").drop("k").write_parquet):
        path.write_bytes(broken) if isinstance(broken, bytes) else broken(path)
        result = mr("trace", pair)
        assert isinstance(result.exception, SystemExit), result.exception
        assert "judgments" in result.output
        assert "Materialize " in result.output


@pytest.mark.parametrize("damaged", ["responses/1.parquet", "elo_pairs/1.parquet", "dropped/actor_pairs/1.parquet"])
def test_a_table_that_is_damaged_within_is_a_message(mr: Mr, run: Run, damaged: str) -> None:
    """The columns can still be told, the rows cannot be read; or not even that, of what was dropped."""
    pair, path = table(run, "actor_pairs")["pair_id"][0], run.folder / damaged
    good = path.read_bytes()
    path.write_bytes(b"PAR1 nothing" if "dropped" in damaged else good[: len(good) // 2] + good[-len(good) // 4 :])
    result = mr("trace", pair)
    assert isinstance(result.exception, SystemExit), result.exception
    assert f"{damaged.split('/')[-2]} of iteration 1 of run tiny cannot be read" in " ".join(result.output.split())


def test_no_command_lets_a_text_act_on_the_terminal(mr: Mr, run: Run) -> None:
    """Whatever the texts hold: the commands' own output has visible characters and line ends alone."""
    with_hostile_texts(run, ESCAPES)
    pair = table(run, "elo_pairs")["pair_id"][0]
    for asset in ("dpo_dataset", "actor_pairs"):
        spoilt = table(run, asset).with_columns(pair_id=pl.col("pair_id") + ESCAPES)
        spoilt.write_parquet(run.path(asset, "1"))
    for command in (
        ["trace", pair],
        ["trace", pair, "--full"],
        ["trace", pair, "--json"],
        ["pairs"],
        ["verify", "tiny"],
    ):
        said = mr(*command).output
        assert said
        assert all(c.isprintable() or c == "\n" for c in said), command


def test_mr_trace_imports_nothing_slow(run: Run) -> None:
    """As a whole process it is to take far less than a second: no dagster, no torch, no vllm, no numpy."""
    save(run)
    pair = table(run, "elo_pairs")["pair_id"][0]
    slow = ("dagster", "torch", "vllm", "transformers", "numpy", "scipy", "pyarrow", "matplotlib", "rich")
    code = f"""
import sys
from mr_assets.cli.main import main
main(["trace", {pair!r}], standalone_mode=False)
print([name for name in {slow} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"MR_DATA": str(run.data), "PATH": "", "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"},
    )
    assert done.stdout.splitlines()[-1] == "[]"
