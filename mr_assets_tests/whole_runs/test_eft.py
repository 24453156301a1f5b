"""From people's rankings to M0, through Dagster in this process, with a fake engine and trainer.

The prompts are the world's letter tasks and the replies are of known worth, so that the fake judge can score them.
"""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.cli.status import Status
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.ids import short
from mr_assets.inputs.preflight import check_run
from mr_assets.inputs.seed_model import seed_model
from mr_assets.inputs.user_files import HELD_OUT
from mr_assets.lineage import trace
from mr_assets.lineage import tree as tree_of_lineage
from mr_assets.lineage.verification import verify
from mr_assets.method.eft_dataset import Judge, MetaJudge, eft_dataset, shares_of
from mr_assets.method.ranked_replies import in_parts
from mr_assets.method.sft_dataset import sft_dataset
from mr_assets.orchestration.steps import steps
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets.tables import dropped_path
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets_tests.explorer.conftest import pages_over
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.rankings import OF_RANKINGS, with_rankings
from mr_assets_tests.tiny import copied, tiny_run
from mr_assets_tests.whole_runs.test_loop import new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

ONE_OFF = ("ranked_replies", "seed_prompts", "eft_judgments", "eft_dataset", "sft_checkpoint")


def test_the_graph_has_the_two_assets_and_their_edges() -> None:
    """A recipe without rankings has neither."""
    run, other = tiny_run(Path("data"), *OF_RANKINGS), tiny_run(Path("data"))
    assert [name for name in run.loop if name not in other.loop] == ["ranked_replies", "eft_judgments"]
    edges = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in _specs(run)}
    assert edges["eft_dataset"] == {"ranked_replies", "eft_judgments"}
    assert edges["eft_judgments"] == edges["seed_prompts"] == {"ranked_replies"}
    without = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in _specs(other)}
    assert without["eft_dataset"] == without["seed_prompts"] == set()
    assert "eft_judgments" not in {row[0].rpartition("/")[2] for row in Status(other, {}, {}).table().rows}


def _specs(run: Run) -> list[dg.AssetSpec]:
    assets = build_definitions([run]).assets or ()
    return [spec for asset in assets for spec in asset.specs]  # type: ignore[union-attr]


def test_the_dry_run_says_what_was_found(tmp_path: Path) -> None:
    """Before anything is sampled; also how many seed prompts are held out."""
    notes = check_run(tiny_run(with_rankings(tmp_path / "data"), *OF_RANKINGS))
    assert [note for note in notes if "20 prompts with two ranked replies or more, 60 replies; 15 prompts" in note]
    assert f"prompts file prompts.jsonl: 5 prompts {HELD_OUT}." in notes


def test_all_rows_follow(ranked: Run) -> None:
    """Every table that is made once is worked out again, of the file and of one another."""
    assert list(verify(ranked, ["1"], ONE_OFF)) == []


def test_where_an_example_comes_from(ranked: Run) -> None:
    """Tree, message, rank and the judgment; a judgment that is no example says why, with the scores of its round."""
    run, kept = ranked, table(ranked, "eft_dataset", None).row(0, named=True)
    lineage = trace(run, kept["example_id"])
    assert lineage.reply is not None
    assert (lineage.kind, lineage.reply.message_id, lineage.reply.rank) == ("example", kept["message_id"], kept["rank"])
    assert [model.name for model in lineage.models] == ["M0"]
    said = "\n".join(tree_of_lineage.brief(lineage))
    assert f"message {kept['message_id']} of tree {kept['tree_id']}" in said
    assert f"judgment {short(kept['example_id'])}: score {kept['score']:g}, an example" in said
    dropped = pl.read_parquet(dropped_path(run.path("eft_dataset"))).filter(reason="ranks_differ")["id"][0]
    out = trace(run, dropped)
    assert out.models == ()
    assert "no example: the scores of this round rank the replies otherwise" in "\n".join(tree_of_lineage.lines(out))


def test_what_came_of_a_reply(ranked: Run) -> None:
    """All four judgments, those that are examples; of a held-out reply nothing."""
    run, replies = ranked, table(ranked, "ranked_replies", None)
    train, held = (part["response_id"][0] for part in in_parts(replies))
    lineage = trace(run, train)
    assert lineage.reply is not None
    kept = table(ranked, "eft_dataset", None).filter(pl.col("example_id").str.starts_with(train))["example_id"]
    assert [each.id for each in lineage.reply.judgments] == [f"{train}.j{n}" for n in range(4)]
    assert {each.id for each in lineage.reply.judgments if each.kept} == set(kept)
    nothing = trace(run, held).reply
    assert nothing is not None
    assert (nothing.held_out, nothing.judgments, nothing.examples) == (True, (), ())
    for absent in ("eft.000000000000.r0", f"{train}.j9", f"{train}.rank"):
        with pytest.raises(UserError, match=f"there is no (reply|example) {absent} in run"):
            trace(run, absent)


def test_the_pages_show_a_reply(ranked: Run, tmp_path: Path) -> None:
    """The page of a reply links to its judgments; each has its text, and the example's page the reply's rank."""
    run = tiny_run(copied(ranked.data, tmp_path / "data"), *OF_RANKINGS)
    kept = table(run, "eft_dataset", None).row(0, named=True)
    response = kept["example_id"].rpartition(".")[0]
    save(run)
    with pages_over(run) as client:
        page = client.get(f"/runs/tiny/{response}")
        assert page.status_code == 200
        assert f"/runs/tiny/{response}.j0" in page.text and kept["tree_id"] in page.text
        one = client.get(f"/runs/tiny/{kept['example_id']}")
        assert one.status_code == 200
        assert f"{kept['rank']} of 3 ranked replies" in one.text
        raw = client.get(f"/runs/tiny/{kept['example_id']}/raw")
        assert raw.text == kept["completion"][0]["content"]


# ------------------------------------------------------------------------------------------------- from ranks alone


@pytest.mark.slow
def test_the_form_first_and_then_judged_by_the_model_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M0 of the first run, taught by ranks, is the seed model of the second: it judges, and people choose.

    Both hold out the same prompts.
    """
    data = with_rankings(tmp_path / "data")
    shares = ("eft.judged_by=ranks", "eft.meta_judgment_share=0.25", "eft.instruction_share=0.25")
    first = new_world(monkeypatch, data, *OF_RANKINGS, *shares)
    assert "eft_judgments" not in first.run.loop
    first.make(next(steps(first.run)))
    record = first.run.record("eft_dataset")
    assert record is not None
    assert [record.numbers[f"share of {kind}s"] for kind in ("judgment", "meta_judgment", "instruction")] == [
        0.5,
        0.25,
        0.25,
    ]
    assert list(verify(first.run, ["1"], ("ranked_replies", "eft_dataset"))) == []
    answer = first.table("eft_dataset").filter(kind="instruction").row(0, named=True)
    lineage = trace(first.run, answer["example_id"])
    assert lineage.reply is not None
    assert (lineage.reply.rank, [model.name for model in lineage.models]) == (0, ["M0"])
    assert "instruction answer, made of the rank" in "\n".join(tree_of_lineage.lines(lineage))

    seed = str(first.run.place("sft_checkpoint").relative_to(data))
    second = new_world(monkeypatch, data, *OF_RANKINGS, f"model.seed={seed}")
    assert second.run.family != first.run.family
    check_run(second.run)
    second.make(next(steps(second.run)))
    assert second.opened[0][0] == data / seed
    judged = second.table("eft_dataset")
    assert judged["judgment_id"].null_count() == 0
    assert second.table("ranked_replies").equals(first.table("ranked_replies"))


def test_examples_are_encoded_as_the_engine_will_see_them(ranked: Run) -> None:
    """A prompt that is one of both templates filled, by its values; anything else as a user's message."""
    encode = ChatEncoder.load(seed_model(ranked.recipe, ranked.data))
    judge, meta = judge_template(), meta_judge_template()
    made = eft_dataset(
        table(ranked, "ranked_replies", None),
        None,
        judge=Judge(judge),
        meta_judge=MetaJudge(meta),
        shares=shares_of(0.3, 0.3),
        examples=20,
        seed=0,
    ).rows
    rows = sft_dataset(made, encode, judge, meta, max_length=None).rows
    asked = dict(rows.select("example_id", "prompt_token_ids").iter_rows())
    for row in made.iter_rows(named=True):
        text = row["prompt"][0]["content"]
        template = {"judgment": judge, "meta_judgment": meta}.get(row["kind"])
        values = template.unfill(text) if template else None
        wanted = encode.template_ids(template, values) if template and values else encode.prompt_ids(text)
        assert asked[row["example_id"]] == wanted
