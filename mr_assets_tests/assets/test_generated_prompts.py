"""From example tasks to seed prompts, through Dagster in this process, with a fake engine and a server of ours.

The examples are the world's letter tasks, and so is what the fake generator makes.
"""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.cli.status import Status
from mr_assets.definitions import build_definitions
from mr_assets.errors import UserError
from mr_assets.inputs.preflight import check_run
from mr_assets.inputs.seed_model import seed_model
from mr_assets.lineage.tracing import trace
from mr_assets.lineage.tree import lines
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP
from mr_assets.method.generated_prompts import task_of
from mr_assets.method.ranked_replies import held_out_prompts
from mr_assets.orchestration.steps import Step
from mr_assets.planning.lengths import assumed_lengths
from mr_assets.planning.stages import stages
from mr_assets.recipes.gpus import gpus
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import settings_of
from mr_assets.runs.status import state
from mr_assets.tables import dropped_path
from mr_assets.templates import generate_template, judge_template, meta_judge_template
from mr_assets.wiring import sampling
from mr_assets.worlds import letters
from mr_assets_tests.chat_server import Answer, Server, said, serving
from mr_assets_tests.explorer.conftest import pages_over
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.rankings import reply, tree, write
from mr_assets_tests.tiny import NAME, SMALL, complete, tiny_run
from mr_assets_tests.whole_runs.test_loop import World, messages, new_world

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

EXAMPLES = letters.make_prompts(6, seed="examples")
GENERATED = (
    *("prompts.source=generated", "generation.examples=tasks.txt", "generation.shots=2", "generation.language=null"),
    *("generation.similarity=1", "generation.max_tokens=64", "engine.shard_size=10"),
)
ONCE = Step("prompts", ("generated_prompts", "seed_prompts"), None)


class TaskSampler(WorldSampler):
    """An engine that makes letter tasks; every fourth answer is empty, and some are examples or repeats."""

    kill_at = -1
    answered = 0

    def say(self, message: str) -> str:
        assert generate_template().unfill(message)
        TaskSampler.answered += 1
        if TaskSampler.answered == TaskSampler.kill_at:
            raise RuntimeError("killed")
        drawn = self.random.randrange(40)
        return "" if drawn % 4 == 0 else f"Task 3: {letters.make_prompts(1, seed=f'task {drawn}')[0]}"


def given(data: Path) -> Path:
    data.mkdir(exist_ok=True)
    (data / "tasks.txt").write_text("".join(f"{task}\n" for task in EXAMPLES))
    return data


def world_of(patch: pytest.MonkeyPatch, data: Path, *sets: str) -> World:
    """A world whose engine makes letter tasks."""
    patch.setattr("mr_assets.files.os.fsync", lambda file: None)
    world = new_world(patch, given(data), *GENERATED, *sets)

    def open_engine(folder: Path, policy: str, *_: Any, **__: Any) -> TaskSampler:
        world.opened.append((folder, policy))
        return TaskSampler(folder, policy)

    patch.setattr(sampling, "open_engine", open_engine)
    return world


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    TaskSampler.kill_at, TaskSampler.answered = -1, 0
    return monkeypatch


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Generated and seed prompts, made once."""
    with pytest.MonkeyPatch.context() as patch:
        world = world_of(patch, tmp_path_factory.mktemp("generated") / "data")
        world.make(ONCE)
        yield world


def test_the_graph_has_it_where_the_recipe_says_so() -> None:
    """Upstream of the seed prompts; in status and in the plan; on the engine's GPUs."""
    run, other = tiny_run(Path("data"), *GENERATED), tiny_run(Path("data"))
    assert [name for name in run.loop if name not in other.loop] == ["generated_prompts"]
    assert run.ancestors("seed_prompts", None) == [("generated_prompts", None)]
    assert other.ancestors("seed_prompts", None) == []
    specs = [spec for asset in build_definitions([run]).assets or () for spec in asset.specs]  # type: ignore[union-attr]
    edges = {spec.key.path[-1]: {dep.asset_key.path[-1] for dep in spec.deps} for spec in specs}
    assert edges["seed_prompts"] == {"generated_prompts"} and edges["generated_prompts"] == set()
    for each, there in ((run, True), (other, False)):
        assert ("generated_prompts" in str(Status(each, {}, {}).table().rows)) == there
        planned = [
            stage.asset
            for stage in stages(each.recipe, assumed_lengths(each.recipe, judge_template(), meta_judge_template()))
        ]
        assert ("generated_prompts" in planned) == there
        assert gpus(each.recipe, "generated_prompts") == int(there)


def test_prompts_are_distinct_and_say_where_they_come_from(made: World) -> None:
    """Of the seed model; none is an example, held out, or there twice; what is dropped has its reason."""
    table, dropped = made.table("generated_prompts"), dropped_of(made)
    assert made.opened[0][0] == seed_model(made.run.recipe, made.run.data)
    assert table.height == table["prompt"].n_unique() == 24
    assert not set(table["prompt"]) & set(EXAMPLES)
    assert not any(map(letters.has_held_out, table["prompt"]))
    assert [task_of(answer) for answer in table["answer"]] == table["prompt"].to_list()
    assert all(len(set(shown)) == 2 for shown in table["shown"].to_list())
    record = made.run.record("generated_prompts")
    assert record is not None
    assert record.policy == record.settings["content of model.seed"]
    reasons = {name: count for name, count in record.numbers.items() if name.startswith("dropped: ")}
    assert reasons["dropped: no_task"] > 0 and reasons["dropped: near_duplicate"] > 0
    assert record.numbers["requests"] == table.height + dropped.height
    assert sum(reasons.values()) == dropped.height == record.dropped


def dropped_of(world: World) -> pl.DataFrame:
    return pl.read_parquet(dropped_path(world.run.path("generated_prompts")))


def test_seed_prompts_are_the_generated_ones(made: World) -> None:
    """In their order; everything follows from its ancestors."""
    assert made.table("seed_prompts").equals(made.table("generated_prompts").select("prompt_id", "prompt"))
    assert state(made.run, "seed_prompts") == "done"
    assert list(verify(made.run, assets=["generated_prompts", "seed_prompts"])) == []


def test_lineage_says_which_request_a_prompt_comes_of(made: World) -> None:
    """The tree and the page name the model, the request and the examples; once the table is another one, neither."""
    assert made.materialize(Step("prompts", ("prompts",), "1")).success
    drawn = made.table("prompts", "1")["prompt_id"][0]
    row = made.table("generated_prompts").filter(pl.col("prompt_id") == drawn).row(0, named=True)
    shown = ", ".join(map(str, row["shown"]))
    said = f"generated by {made.run.recipe.model.seed}, request {row['request_id']}, shown examples {shown}"
    assert any(said in line for line in lines(trace(made.run, drawn)))
    assert said in pages_over(made.run).get(f"/runs/tiny/1.{drawn}").text
    record = made.run.record("generated_prompts")
    assert record is not None
    complete(made.run, "generated_prompts", version="another")
    assert not any("generated by" in line for line in lines(trace(made.run, drawn)))
    write_record(made.run.record_path("generated_prompts"), record)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_prompts(made: World, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another one gives others."""
    versions = {}
    for name, sets in (("again", ()), ("other", ("seed=1",))):
        world = world_of(patch, tmp_path / name, *sets)
        assert world.materialize(ONCE).success
        record = world.run.record("generated_prompts")
        assert record is not None
        versions[name] = record.version
    record = made.run.record("generated_prompts")
    assert record is not None and versions["again"] == record.version != versions["other"]


@pytest.mark.slow
@pytest.mark.parametrize("answers", [3, 15, 30])
def test_killed_midway_it_goes_on(made: World, patch: pytest.MonkeyPatch, tmp_path: Path, answers: int) -> None:
    """In the first round or a later one: the same prompts as without, and no finished shard is sampled again."""
    world = world_of(patch, tmp_path / "data")
    patch.setattr(TaskSampler, "kill_at", answers)
    assert not world.materialize(ONCE).success
    assert world.run.record("generated_prompts") is None
    patch.setattr(TaskSampler, "kill_at", -1)
    patch.setattr(TaskSampler, "answered", 0)
    assert world.materialize(ONCE).success
    done, whole = world.run.record("generated_prompts"), made.run.record("generated_prompts")
    assert done is not None and whole is not None
    assert done.version == whole.version
    kept = answers // 10 * 10  # shards of ten
    assert TaskSampler.answered <= whole.numbers["requests"] - kept + 10


@pytest.mark.slow
def test_too_few_are_an_error_and_more_rounds_go_on(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With counts and what to do; nothing is written as a table, and what was sampled is used again."""
    world = world_of(patch, tmp_path / "data", "generation.rounds=1")
    result = world.materialize(ONCE)
    assert not result.success
    said = messages(result)[0]
    assert "of 24 prompts wanted, " in said and " came of 24 requests in 1 rounds. Dropped: " in said
    assert "Raise generation.rounds" in said
    assert world.run.record("generated_prompts") is None
    assert not world.run.path("generated_prompts").exists()
    first = TaskSampler.answered
    more = world_of(patch, tmp_path / "data")
    assert more.materialize(ONCE).success
    record = more.run.record("generated_prompts")
    assert record is not None
    assert TaskSampler.answered == record.numbers["requests"] and first == 24


def test_prompts_that_rankings_hold_out_are_not_made(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As many prompts as are wanted come of the others, and all of them are seed prompts."""
    data = given(tmp_path / "data")
    tasks = dict.fromkeys(letters.make_prompts(1, seed=f"task {drawn}")[0] for drawn in range(8))
    rows = [tree(f"t{n}", task, *(reply(f"t{n}.{r}", "No.", r) for r in (0, 1))) for n, task in enumerate(tasks)]
    write(data / "trees.jsonl", rows)
    rankings = ("eft.source=open_assistant:trees.jsonl", "eft.examples=null", "eft.held_out=0.5")
    world = world_of(patch, data, *rankings)
    world.make(Step("once", ("ranked_replies", "generated_prompts", "seed_prompts"), None))
    held = set(held_out_prompts(world.table("ranked_replies")))
    prompts = world.table("generated_prompts")["prompt"]
    assert 0 < len(held) < len(tasks) and not held & set(prompts)
    assert (set(tasks) - held) & set(prompts), "the others may be made"
    assert world.table("seed_prompts").height == len(prompts) == 24
    assert "held_out" in set(dropped_of(world)["reason"])
    assert list(verify(world.run, assets=["generated_prompts", "seed_prompts"])) == []


# ------------------------------------------------------------------------------------------------------ other makers


def answers(number: int, body: dict[str, Any]) -> Answer:
    """A letter task by the seed that it is asked with."""
    drawn = random.Random(body["seed"]).randrange(1000)
    return said(letters.make_prompts(1, seed=f"task {drawn}")[0])


def by_endpoint(server: Server) -> tuple[str, ...]:
    return (f"prompts.generator={server.url}", "generation.model=m", "generation.key_variable=KEY_OF_TEST")


@pytest.mark.slow
def test_prompts_of_an_endpoint(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No engine is opened and no GPU asked for; neither the key nor the seed model is in any file or record."""
    patch.setenv("KEY_OF_TEST", "s3cret")
    with serving(answers) as server:
        world = world_of(patch, tmp_path / "data", *by_endpoint(server))
        world.make(ONCE)
    assert world.opened == [] and gpus(world.run.recipe, "generated_prompts") == 0
    assert world.table("seed_prompts").height == 24
    record = world.run.record("generated_prompts")
    assert record is not None and record.policy is None
    assert not [name for name in record.settings if name.startswith(("model.", "engine", "content of model"))]
    assert record.settings["prompts.generator"] == server.url
    assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert list(verify(world.run, assets=["generated_prompts", "seed_prompts"])) == []


@pytest.mark.slow
def test_an_endpoint_that_refuses_is_an_error_that_says_so(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The step fails with the message, and the same command goes on with what was answered."""

    def at_first(number: int, body: dict[str, Any]) -> Answer:
        return answers(number, body) if number < 7 else (401, {"error": {"message": "expired"}})

    with serving(at_first) as server:
        world = world_of(patch, tmp_path / "data", *by_endpoint(server), "generation.concurrency=1")
        said = messages(world.materialize(ONCE))[0]
        assert "refused with status 401" in said and "environment variable KEY_OF_TEST" in said
        server.answer = answers
        assert world.materialize(ONCE).success
        assert 7 + 24 - 7 <= len(server.asked) - 1 <= 24 + 24  # seven were kept; a repeat may ask for a further round
    assert world.table("seed_prompts").height == 24


@pytest.mark.slow
def test_another_models_folder(patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is sampled from and recorded; then another seed model does not make the prompts stale."""
    data = given(tmp_path / "data")
    shutil.copytree(PROJECT / "data" / "seeds" / "small-world-unbiased", data / "generator")
    world = world_of(patch, data, "prompts.generator=generator")
    assert world.materialize(ONCE).success
    assert world.opened[0][0] == data / "generator"
    settings = settings_of(world.run, "generated_prompts", None)
    assert "content of prompts.generator" in settings and "engine" in settings
    assert not [name for name in settings if "model." in name]


# -------------------------------------------------------------------------------------------------------- preflight


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("generation.shots=7",), "generation.examples = tasks.txt: it has 6 tasks, and each request shows"),
        (("generation.examples=none.txt",), "there is no file"),
        (("generation.language=klingon",), "generation.language = 'klingon': expected a code such as en, de or zh"),
        (("prompts.generator=nowhere",), "prompts.generator: there is no folder"),
        (("generation.examples=long.txt", "generation.shots=1"), "does not fit into engine.max_model_len"),
    ],
)
def test_what_would_stop_it_later_is_said_before(tmp_path: Path, sets: tuple[str, ...], expected: str) -> None:
    """By the dry run, too."""
    data = given(tmp_path / "data")
    (data / "long.txt").write_text("w s v k " * 400 + "\n")
    with pytest.raises(UserError) as error:
        check_run(tiny_run(data, *GENERATED, *sets), dry=True)
    assert expected in str(error.value)


def test_once_they_are_there_nothing_of_it_is_needed(tmp_path: Path) -> None:
    """The examples may be gone, and a run goes on."""
    data = given(tmp_path / "data")
    run = tiny_run(data, *GENERATED)
    complete(run, "generated_prompts")
    complete(run, "seed_prompts")
    assert state(run, "generated_prompts") == "done"
    check_run(run, dry=True)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("prompts.count=null",), "prompts.count = null: the generator makes as many prompts as it is asked for"),
        (("prompts.generator=http://127.0.0.1:1/v1",), "generation.model = null: the endpoint"),
        (("prompts.generator=http://me:pw@h/v1", "generation.model=m"), "the address holds a key"),
        (("prompts.generator=http://h/v1?key=pw", "generation.model=m"), "the address holds a key"),
        (("generation.model=m",), 'generation.model = "m": prompts.generator is no endpoint'),
        (("generation.min_chars=50", "generation.max_chars=40"), "is above generation.max_chars = 40"),
        (("generation.max_tokens=100000",), "leaves no room for a prompt"),
    ],
)
def test_fields_that_contradict_each_other(sets: tuple[str, ...], expected: str) -> None:
    """Said when the recipe is read; a password in an address is not shown."""
    with pytest.raises(UserError) as error:
        load_recipe(NAME, (*SMALL, *GENERATED, *sets))
    assert expected in str(error.value) and "pw" not in str(error.value)


def test_a_recipe_of_another_source_has_its_old_family() -> None:
    """New fields that say nothing change no name; those that make the prompts do."""
    names = {tiny_run(Path("data"), *sets).family for sets in ((), ("generation.temperature=0.5",))}
    assert len(names) == 1
    made = {tiny_run(Path("data"), *GENERATED, *sets).family for sets in ((), ("generation.temperature=0.5",))}
    assert len(made) == 2 and not names & made
    assert len({tiny_run(Path("data"), *GENERATED, f"generation.rounds={n}").family for n in (1, 2)}) == 1


def test_its_row_names_no_key() -> None:
    """What is recorded of an endpoint is its address and the model's name."""
    run: Run = tiny_run(Path("data"), *GENERATED, "prompts.generator=http://h/v1", "generation.model=m")
    settings = settings_of(run, "generated_prompts", None)
    assert settings["generation"]["model"] == "m"
    assert "key_variable" not in json.dumps(settings)
    assert LOOP["generated_prompts"].selects
