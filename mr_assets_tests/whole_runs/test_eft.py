"""From people's rankings to M0, through Dagster in this process, with a fake engine and trainer.

The prompts are the world's letter tasks and the replies are of known worth, so that the fake judge can score them.
"""

import json
import random
from collections.abc import Iterator
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
from mr_assets.method.numbers import eft_numbers
from mr_assets.method.ranked_replies import in_parts
from mr_assets.method.sft_dataset import sft_dataset
from mr_assets.orchestration.steps import Step, steps
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.run import Run
from mr_assets.runs.status import state
from mr_assets.runs.stored import save
from mr_assets.tables import EFT_DATASET, dropped_path
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.wiring import sampling
from mr_assets.worlds import letters
from mr_assets_tests.explorer.conftest import pages_over
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.rankings import Row, reply, tree, write
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.whole_runs.test_loop import World, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

SETS = (
    *("eft.source=open_assistant:trees.jsonl", "eft.examples=null", "prompts.source=prompts.jsonl"),
    *("judgments.n=4", "engine.shard_size=40"),
)
FILES = ("eft.source=e.jsonl", "prompts.source=p.jsonl")
PROMPTS = letters.make_prompts(24, seed="ranked")
ONE_OFF = ("ranked_replies", "seed_prompts", "eft_judgments", "eft_dataset", "sft_checkpoint")


def trees() -> list[Row]:
    """Twenty letter tasks, each with a reply worth 5, one worth 3 and one worth 0."""
    rng = random.Random(0)
    worth = (5, 3, 0)
    return [
        tree(f"t{n}", text, *(reply(f"t{n}.{r}", letters.graded_response(text, worth[r], rng), r) for r in range(3)))
        for n, text in enumerate(PROMPTS[:20])
    ]


def given(data: Path) -> Path:
    """A data folder with the trees, and seed prompts of which the first twenty are those of the trees."""
    data.mkdir()
    write(data / "trees.jsonl", trees())
    write(data / "prompts.jsonl", [{"prompt": text} for text in PROMPTS])
    return data


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """What is made once, step by step as `mr run` does, and the prompts of iteration 1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mr_assets.files.os.fsync", lambda file: None)
        world = new_world(patch, given(tmp_path_factory.mktemp("eft") / "data"), *SETS)
        for step in (next(steps(world.run)), Step("prompts", ("prompts",), "1")):
            result = world.materialize(step)
            assert result.success, messages(result)
        yield world


def test_the_graph_has_the_two_assets_and_their_edges() -> None:
    """A recipe without rankings has neither."""
    run, other = tiny_run(Path("data"), *SETS), tiny_run(Path("data"))
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


def test_the_seed_model_judges_what_is_not_held_out(world: World) -> None:
    """Fifteen prompts of twenty with three replies each, four judgments of each; the five others are held out."""
    assert world.opened[0][0] == seed_model(world.run.recipe, world.run.data)
    judged, replies = world.table("eft_judgments"), world.table("ranked_replies")
    train, held = in_parts(replies)
    assert (train.height, held.height, judged.height) == (45, 15, 180)
    assert set(judged["response_id"]) == set(train["response_id"])
    record = world.run.record("eft_judgments")
    assert record is not None
    assert record.policy == record.settings["content of model.seed"]


def test_what_is_kept_is_what_ranks_as_people_did(world: World) -> None:
    """Kept and dropped are all judgments; every example says its tree, message, rank and judgment."""
    kept, judged = world.table("eft_dataset"), world.table("eft_judgments")
    dropped = pl.read_parquet(dropped_path(world.run.path("eft_dataset")))
    EFT_DATASET.check(kept)
    assert sorted([*kept["judgment_id"], *dropped["id"]]) == sorted(judged["judgment_id"])
    assert set(dropped["reason"]) >= {"ranks_differ"}
    scores = dict(judged.select("judgment_id", "score").iter_rows())
    names = dict(world.table("ranked_replies").select("response_id", "message_id").iter_rows())
    for row in kept.iter_rows(named=True):
        assert row["score"] == scores[row["judgment_id"]]
        assert row["message_id"] == names[row["judgment_id"].rpartition(".")[0]]
        assert row["message_id"] == f"{row['tree_id']}.{row['rank']}"
    record = world.run.record("eft_dataset")
    assert record is not None
    assert record.numbers == json.loads(json.dumps(eft_numbers(kept, dropped)))


def test_no_held_out_prompt_is_trained_on(world: World) -> None:
    """Neither in the EFT data nor among the seed prompts, of which five are dropped and counted."""
    _, held = in_parts(world.table("ranked_replies"))
    asked = {judge_template().unfill(row[0]["content"])["prompt"] for row in world.table("eft_dataset")["prompt"]}  # type: ignore[index]
    seeds = set(world.table("seed_prompts")["prompt"])
    assert not set(held["prompt"]) & (asked | seeds)
    assert (len(set(held["prompt"])), len(seeds)) == (5, 19)
    record = world.run.record("seed_prompts")
    assert record is not None
    assert record.numbers[HELD_OUT] == 5


def test_the_dry_run_says_what_was_found(tmp_path: Path) -> None:
    """Before anything is sampled; also how many seed prompts are held out."""
    notes = check_run(tiny_run(given(tmp_path / "data"), *SETS))
    assert [note for note in notes if "20 prompts with two ranked replies or more, 60 replies; 15 prompts" in note]
    assert f"prompts file prompts.jsonl: 5 prompts {HELD_OUT}." in notes


def test_all_rows_follow(world: World) -> None:
    """Every table that is made once is worked out again, of the file and of one another."""
    assert list(verify(world.run, ["1"], ONE_OFF)) == []


@pytest.mark.parametrize(
    ("asset", "column", "value", "part"),
    [
        ("ranked_replies", "rank", 2, "rank is 2"),
        ("eft_judgments", "score", 1.5, "score is 1.5"),
        ("eft_dataset", "score", 1.5, "score is 1.5"),
    ],
)
def test_a_row_that_does_not_follow_is_found(world: World, asset: str, column: str, value: float, part: str) -> None:
    path = world.run.path(asset)
    good, content = pl.read_parquet(path), path.read_bytes()
    first = pl.int_range(pl.len()) == 0
    good.with_columns(
        pl.when(first).then(pl.lit(value).cast(good.schema[column])).otherwise(column).alias(column)
    ).write_parquet(path)
    try:
        faults = [str(fault) for fault in verify(world.run, ["1"], [asset])]
    finally:
        path.write_bytes(content)
    assert [fault for fault in faults if part in fault and str(good[0, 0]) in fault]


def test_where_an_example_comes_from(world: World) -> None:
    """Tree, message, rank and the judgment; a judgment that is no example says why, with the scores of its round."""
    run, kept = world.run, world.table("eft_dataset").row(0, named=True)
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


def test_what_came_of_a_reply(world: World) -> None:
    """All four judgments, those that are examples; of a held-out reply nothing."""
    run, replies = world.run, world.table("ranked_replies")
    train, held = (part["response_id"][0] for part in in_parts(replies))
    lineage = trace(run, train)
    assert lineage.reply is not None
    kept = world.table("eft_dataset").filter(pl.col("example_id").str.starts_with(train))["example_id"]
    assert [each.id for each in lineage.reply.judgments] == [f"{train}.j{n}" for n in range(4)]
    assert {each.id for each in lineage.reply.judgments if each.kept} == set(kept)
    nothing = trace(run, held).reply
    assert nothing is not None
    assert (nothing.held_out, nothing.judgments, nothing.examples) == (True, (), ())
    for absent in ("eft.000000000000.r0", f"{train}.j9", f"{train}.rank"):
        with pytest.raises(UserError, match=f"there is no (reply|example) {absent} in run"):
            trace(run, absent)


def test_the_pages_show_a_reply(world: World) -> None:
    """The page of a reply links to its judgments; each has its text, and the example's page the reply's rank."""
    kept = world.table("eft_dataset").row(0, named=True)
    response = kept["example_id"].rpartition(".")[0]
    save(world.run)
    with pages_over(world.run) as client:
        page = client.get(f"/runs/tiny/{response}")
        assert page.status_code == 200
        assert f"/runs/tiny/{response}.j0" in page.text and kept["tree_id"] in page.text
        one = client.get(f"/runs/tiny/{kept['example_id']}")
        assert one.status_code == 200
        assert f"{kept['rank']} of 3 ranked replies" in one.text
        raw = client.get(f"/runs/tiny/{kept['example_id']}/raw")
        assert raw.text == kept["completion"][0]["content"]


# ----------------------------------------------------------------------------------------------- killed and resumed


class Killed(WorldSampler):
    """An engine that is killed with the second shard."""

    def reseed(self, seed: int) -> None:
        if hasattr(self, "begun"):
            raise KeyboardInterrupt
        self.begun = True
        super().reseed(seed)


def test_a_run_that_is_killed_while_the_seed_model_judges_goes_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sampled is kept; the table is the one of the run that nothing disturbed."""
    again = new_world(monkeypatch, given(tmp_path / "data"), *SETS)
    monkeypatch.setattr(sampling, "open_engine", lambda folder, policy, *_, **__: Killed(folder, policy))
    step = next(steps(again.run))
    assert not again.materialize(step).success
    assert (state(again.run, "ranked_replies"), state(again.run, "eft_judgments")) == ("done", "missing")
    monkeypatch.setattr(sampling, "open_engine", again.open_engine)
    left = next(steps(again.run))
    assert left.assets == ("seed_prompts", "eft_judgments", "eft_dataset", "sft_checkpoint")
    result = again.materialize(left)
    assert result.success, messages(result)
    record = again.run.record("eft_judgments")
    assert record is not None
    assert record.numbers["requests"] == 45
    assert record.numbers["requests sampled by this run"] == 45 - 10  # a shard of 40 judgments was there
    undisturbed = world.run.record("eft_judgments")
    assert undisturbed is not None
    assert record.version == undisturbed.version


# ------------------------------------------------------------------------------------------------- from ranks alone


@pytest.mark.slow
def test_the_form_first_and_then_judged_by_the_model_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M0 of the first run, taught by ranks, is the seed model of the second: it judges, and people choose.

    Both hold out the same prompts.
    """
    data = given(tmp_path / "data")
    shares = ("eft.judged_by=ranks", "eft.meta_judgment_share=0.25", "eft.instruction_share=0.25")
    first = new_world(monkeypatch, data, *SETS, *shares)
    assert "eft_judgments" not in first.run.loop
    result = first.materialize(next(steps(first.run)))
    assert result.success, messages(result)
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
    second = new_world(monkeypatch, data, *SETS, f"model.seed={seed}")
    assert second.run.family != first.run.family
    check_run(second.run)
    result = second.materialize(next(steps(second.run)))
    assert result.success, messages(result)
    assert second.opened[0][0] == data / seed
    judged = second.table("eft_dataset")
    assert judged["judgment_id"].null_count() == 0
    assert second.table("ranked_replies").equals(first.table("ranked_replies"))


def test_words_and_scale_shape_what_is_made_of_rankings_alone(tmp_path: Path) -> None:
    """Other EFT data is read or made without them: runs that ask for scores otherwise share its M0."""
    again, files = "judgments.score_line=asked_again", ("world=null", "evaluation=null", *FILES)
    plain, ranked = (tiny_run(tmp_path, *sets) for sets in ((), SETS))
    assert "judgments.score_words" not in shaping_settings(plain.recipe, "eft_dataset", None)
    assert shaping_settings(ranked.recipe, "eft_dataset", None)["judgments.score_words"] == "Score"
    assert tiny_run(tmp_path, again, *files).family == tiny_run(tmp_path, *files).family


def test_what_shapes_the_judgments_names_the_family(tmp_path: Path) -> None:
    """Runs whose seed model judges otherwise share no M0; without rankings they do, and have the name they had."""
    plain = tiny_run(tmp_path)
    assert tiny_run(tmp_path, "judgments.temperature=0.5").family == plain.family
    ranked = tiny_run(tmp_path, *SETS)
    assert tiny_run(tmp_path, *SETS, "judgments.temperature=0.5").family != ranked.family
    assert tiny_run(tmp_path, *SETS, "engine.max_num_seqs=8").family == ranked.family


def test_examples_are_encoded_as_the_engine_will_see_them(world: World) -> None:
    """A prompt that is one of both templates filled, by its values; anything else as a user's message."""
    encode = ChatEncoder.load(world.opened[0][0])
    judge, meta = judge_template(), meta_judge_template()
    made = eft_dataset(
        world.table("ranked_replies"),
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
