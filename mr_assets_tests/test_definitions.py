"""The asset graph, pinned: what is in it, what follows from what, and how each asset is declared."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster_ray.configs import RayExecutionConfig

from mr_assets.dagster_internals import IMPLICIT_ASSET_JOB_NAME
from mr_assets.definitions import build_definitions, executor
from mr_assets.errors import UserError
from mr_assets.orchestration.instance import SETTINGS
from mr_assets.recipes.load import with_iterations
from mr_assets.runs.stored import load_run
from mr_assets.tables import TABLES
from mr_assets.wiring.io_managers import ModelIOManager, TableIOManager
from mr_assets_tests.real_run import PROJECT, descendants, free_port, in_a_group
from mr_assets_tests.tiny import NAME, tiny_run
from mr_assets_tests.ui.server import PATIENCE, Server

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

COMMANDS = Path(sys.executable).parent
FAMILY = "small_world"
EDGES = {
    "seed_prompts": "",
    "eft_dataset": "",
    "sft_checkpoint": "eft_dataset",
    "policy": "sft_checkpoint seed_prompts",
    "prompts": "seed_prompts sft_checkpoint",
    "responses": "prompts policy",
    "judgments": "prompts responses policy",
    "actor_pairs": "responses judgments",
    "selected_responses": "responses judgments",
    "meta_judgments": "prompts responses selected_responses judgments policy",
    "battle_matrices": "selected_responses meta_judgments",
    "elo_pairs": "battle_matrices judgments",
    "dpo_dataset": "prompts responses judgments actor_pairs elo_pairs policy",
    "checkpoints": "dpo_dataset policy",
    "evaluation": "sft_checkpoint checkpoints",
    "human_agreement": "sft_checkpoint checkpoints",
}
KINDS = {
    "seed_prompts": {"polars", "parquet"},
    "eft_dataset": {"polars", "parquet"},
    "sft_checkpoint": {"pytorch", "huggingface"},
    "policy": {"huggingface"},
    "prompts": {"polars", "parquet"},
    "responses": {"vllm", "parquet"},
    "judgments": {"vllm", "parquet"},
    "actor_pairs": {"polars", "parquet"},
    "selected_responses": {"polars", "parquet"},
    "meta_judgments": {"vllm", "parquet"},
    "battle_matrices": {"numpy", "parquet"},
    "elo_pairs": {"numpy", "parquet"},
    "dpo_dataset": {"polars", "parquet"},
    "checkpoints": {"pytorch", "huggingface"},
    "evaluation": {"vllm", "parquet"},
    "human_agreement": {"vllm", "parquet"},
}
SHARED = ("seed_prompts", "eft_dataset", "sft_checkpoint")
MODELS = ("sft_checkpoint", "policy", "checkpoints")
BY_MODEL = ("evaluation", "human_agreement")
LOOP = tuple(a for a in EDGES if a not in SHARED and a not in BY_MODEL)
ON_GPU = ("sft_checkpoint", "responses", "judgments", "meta_judgments", "checkpoints", *BY_MODEL)


def key(asset: str) -> dg.AssetKey:
    return dg.AssetKey([FAMILY if asset in SHARED else NAME, asset])


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    """Those of the default recipe alone."""
    return build_definitions([load_run(NAME, data=tmp_path_factory.mktemp("data"))])


@pytest.fixture(scope="module")
def assets(definitions: dg.Definitions) -> dict[str, dg.AssetsDefinition]:
    """Every asset by its name."""
    found = {}
    for asset in definitions.assets or ():
        assert isinstance(asset, dg.AssetsDefinition)
        found[asset.key.path[-1]] = asset
    return found


def spec(asset: dg.AssetsDefinition) -> dg.AssetSpec:
    return asset.get_asset_spec()


def test_the_assets_are_the_papers_nouns(definitions: dg.Definitions) -> None:
    """Sixteen keys: three of the family, eleven of the loop, and two that measure the models."""
    assert definitions.resolve_asset_graph().get_all_asset_keys() == {key(a) for a in EDGES}
    assert len(EDGES) == 16


@pytest.mark.parametrize("asset", EDGES)
def test_what_follows_from_what(definitions: dg.Definitions, asset: str) -> None:
    """The drawn graph, and nothing besides."""
    parents = definitions.resolve_asset_graph().get(key(asset)).parent_keys
    assert parents == {key(parent) for parent in EDGES[asset].split()}


def test_an_iteration_begins_as_a_whole(definitions: dg.Definitions) -> None:
    """Whatever of the loop has no parent in it waits for the same assets: a backfill asks for all of it at once."""
    graph = definitions.resolve_asset_graph()
    loop = {key(a) for a in LOOP}
    begins = [graph.get(k).parent_keys for k in loop if not graph.get(k).parent_keys & loop]
    assert begins == [{key("seed_prompts"), key("sft_checkpoint")}] * 2


def test_the_handoff_is_not_drawn(definitions: dg.Definitions) -> None:
    """policy takes checkpoints of the iteration before when it runs; as an edge it would close a cycle."""
    graph = definitions.resolve_asset_graph()
    assert key("checkpoints") not in graph.get(key("policy")).parent_keys
    order = [k for level in graph.toposorted_asset_keys_by_level for k in level]
    assert order.index(key("policy")) < order.index(key("checkpoints"))
    said = " ".join((graph.get(key("policy")).description or "").split())
    assert (
        "the edge from checkpoints[t-1] is not drawn in the graph: it is followed when this asset is materialized"
        in said
    )


@pytest.mark.parametrize("asset", LOOP)
def test_the_loop_is_partitioned_by_iteration(assets: dict[str, dg.AssetsDefinition], asset: str) -> None:
    """All share one definition object, and a backfill is one run per iteration."""
    partitions = assets[asset].partitions_def
    assert partitions is assets["policy"].partitions_def
    assert partitions is not None
    assert partitions.get_partition_keys() == ["1", "2", "3", "4"]
    assert assets[asset].backfill_policy == dg.BackfillPolicy.multi_run(1)


@pytest.mark.parametrize("asset", BY_MODEL)
def test_a_measurement_is_partitioned_by_model(
    assets: dict[str, dg.AssetsDefinition], definitions: dg.Definitions, asset: str
) -> None:
    """The seed, M0 and M1 to M4; that of M_t follows from checkpoints[t], those of the seed and of M0 from none."""
    evaluation = assets[asset]
    assert evaluation.partitions_def is not None
    assert evaluation.partitions_def.get_partition_keys() == ["seed", "0", "1", "2", "3", "4"]
    assert evaluation.backfill_policy == dg.BackfillPolicy.multi_run(1)
    mapping = evaluation.get_partition_mapping(key("checkpoints"))
    assert mapping == dg.StaticPartitionMapping({t: t for t in "1234"})


@pytest.mark.parametrize("asset", SHARED)
def test_what_is_made_once_has_no_partitions(assets: dict[str, dg.AssetsDefinition], asset: str) -> None:
    assert assets[asset].partitions_def is None


@pytest.mark.parametrize("asset", EDGES)
def test_each_asset_is_declared(assets: dict[str, dg.AssetsDefinition], asset: str) -> None:
    """Description, kinds, group, owner, IO manager; GPU tags and the pool where a GPU is needed."""
    definition = assets[asset]
    declared = spec(definition)
    assert declared.description
    assert "\n\n\n" not in declared.description
    assert declared.kinds == KINDS[asset]
    assert declared.group_name == (FAMILY if asset in SHARED else NAME)
    assert declared.owners == ["team:mr_assets"]
    manager = definition.get_io_manager_key_for_asset_key(definition.key)
    assert manager == ("models" if asset in MODELS else "tables")
    tags: Mapping[str, Any] = definition.op.tags
    if asset in ON_GPU:
        assert RayExecutionConfig.from_tags(tags).num_gpus == 1
        limits = json.loads(tags["dagster-k8s/config"])["container_config"]["resources"]["limits"]
        assert limits == {"nvidia.com/gpu": 1}
        assert definition.op.pool == "gpu"
    else:
        assert RayExecutionConfig.from_tags(tags).num_gpus is None
        assert "dagster-k8s/config" not in tags
        assert definition.op.pool is None


@pytest.mark.parametrize("asset", [a for a in EDGES if a not in MODELS])
def test_tables_show_their_columns(assets: dict[str, dg.AssetsDefinition], asset: str) -> None:
    """Name, type and meaning of each, as in the schemas."""
    shown = spec(assets[asset]).metadata["dagster/column_schema"]
    assert isinstance(shown, dg.TableSchema)
    columns = [(c.name, c.type, c.description) for c in shown.columns]
    assert columns == [
        (n, str(c.dtype), c.meaning) for n, c in {**TABLES[asset].columns, **TABLES[asset].optional}.items()
    ]


@pytest.mark.parametrize("asset", [a for a in EDGES if a not in MODELS])
def test_what_selects_shows_the_columns_of_what_it_leaves_out(
    assets: dict[str, dg.AssetsDefinition], asset: str
) -> None:
    shown = spec(assets[asset]).metadata.get("columns of what was dropped")
    assert (shown is not None) == (asset in CHECKS and asset not in ("seed_prompts", "sft_checkpoint", "prompts"))
    if shown is not None:
        assert isinstance(shown, dg.TableSchema)
        assert [c.name for c in shown.columns] == ["id", "reason", "numbers"]


def test_checkpoints_show_the_columns_of_the_reward_margins(assets: dict[str, dg.AssetsDefinition]) -> None:
    shown = spec(assets["checkpoints"]).metadata["columns of the reward margins"]
    assert isinstance(shown, dg.TableSchema)
    assert [c.name for c in shown.columns] == ["pair_id", "chosen_reward", "rejected_reward", "reward_margin"]


@pytest.mark.parametrize("asset", EDGES)
def test_the_checks_of_each_asset(definitions: dg.Definitions, asset: str) -> None:
    """Which there are, which of them stop a run (marked with !), and that they have the asset's partitions."""
    graph = definitions.resolve_asset_graph()
    found = {k.name: graph.get(k) for k in graph.get_check_keys_for_assets({key(asset)})}
    assert {name + "!" * check.blocking for name, check in found.items()} == set(CHECKS.get(asset, "").split())
    for check in found.values():
        assert check.partitions_def == graph.get(key(asset)).partitions_def
        assert (check.description or "").startswith(("Expected ", "The iteration's tables are fit", "Every row of"))


TABLE = "not_empty! duplicate_ids!"
LINKED = f"{TABLE} orphan_ids!"
JUDGES = "not_empty duplicate_ids! orphan_ids!"
CHECKS = {
    "seed_prompts": TABLE,
    "eft_dataset": TABLE,
    "sft_checkpoint": "finite_loss!",
    "prompts": LINKED,
    "responses": f"{LINKED} cut_off! length_growth!",
    "judgments": f"{LINKED} cut_off! parse_rate! score_entropy! score_reliability! top_score_share!",
    "actor_pairs": f"{LINKED} pair_yield! chosen_length",
    "selected_responses": JUDGES,
    "meta_judgments": f"{JUDGES} cut_off! parse_rate! position_bias! score_bias",
    "battle_matrices": JUDGES,
    "elo_pairs": f"{JUDGES} pair_yield chosen_length",
    "dpo_dataset": f"{LINKED} identical_pairs! contradictory_pairs!",
    "checkpoints": "data_is_fit! follows_from_ancestors finite_loss!",
}


def test_every_run_has_a_sensor_that_is_switched_off(definitions: dg.Definitions) -> None:
    """For all that the run is made of, by the job that *Materialize* starts: jobs of its own would slow the UI."""
    repository = definitions.get_repository_def()
    [sensor] = repository.sensor_defs
    assert (sensor.name, sensor.default_status) == (f"{NAME}_hands_off", dg.DefaultSensorStatus.STOPPED)
    assert sensor.asset_selection is not None
    assert {k.path[-1] for k in sensor.asset_selection.resolve(repository.asset_graph)} == set(EDGES)
    assert [job.name for job in repository.get_all_jobs()] == [IMPLICIT_ASSET_JOB_NAME]


def test_resources(definitions: dg.Definitions) -> None:
    resources = dict(definitions.resources or {})
    assert isinstance(resources["tables"], TableIOManager)
    assert isinstance(resources["models"], ModelIOManager)


def test_recipes_of_one_family_share_what_is_made_once(tmp_path: Path) -> None:
    """Two recipes: one seed_prompts, eft_dataset and sft_checkpoint, two loops with two measurements each."""
    runs = [load_run(f"small_world_{kind}", data=tmp_path) for kind in ("meta_rewarding", "self_rewarding")]
    keys = build_definitions(runs).resolve_asset_graph().get_all_asset_keys()
    assert len(keys) == 3 + 2 * 13
    assert {k.path[1] for k in keys if k.path[0] == FAMILY} == set(SHARED)


def test_another_seed_is_another_family(tmp_path: Path) -> None:
    """Then nothing is shared, and nothing clashes."""
    runs = [load_run(NAME, data=tmp_path), load_run(NAME, name="seed_7", sets=("seed=7",), data=tmp_path)]
    assert len(build_definitions(runs).resolve_asset_graph().get_all_asset_keys()) == 2 * 16


def test_runs_of_different_lengths_stand_side_by_side(tmp_path: Path) -> None:
    """Each has the partitions of its own recipe."""
    six = load_run(NAME, name="six", data=tmp_path)
    six = replace(six, recipe=with_iterations(six.recipe, 6))
    graph = build_definitions([six, tiny_run(tmp_path)]).resolve_asset_graph()
    for name, count in (("six", 6), ("tiny", 2)):
        partitions = graph.get(dg.AssetKey([name, "responses"])).partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys() == [str(t) for t in range(1, count + 1)]


def test_a_world_without_truth_has_no_evaluation(tmp_path: Path) -> None:
    graph = build_definitions([load_run("llama_3_8b_meta_rewarding", data=tmp_path)]).resolve_asset_graph()
    assert "evaluation" not in {k.path[-1] for k in graph.get_all_asset_keys()}


def test_the_executor_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process by default, so that the assets of a run share one engine."""
    monkeypatch.delenv("MR_EXECUTOR", raising=False)
    assert executor() is dg.in_process_executor
    monkeypatch.setenv("MR_EXECUTOR", "multiprocess")
    assert executor() is dg.multiprocess_executor
    monkeypatch.setenv("MR_EXECUTOR", "cloud")
    with pytest.raises(UserError, match="'cloud', expected one of in_process, multiprocess"):
        executor()


def activated(tmp_path: Path) -> dict[str, str]:
    """The environment of who has activated this Python's own, with the project's instance: it tells Dagster nothing."""
    shutil.copy(SETTINGS, tmp_path / "dagster.yaml")
    own = {"VIRTUAL_ENV": sys.prefix, "PATH": os.pathsep.join([str(COMMANDS), os.environ["PATH"]])}
    return {**os.environ, **own, "MR_DATA": str(tmp_path / "data"), "DAGSTER_HOME": str(tmp_path)}


def in_a_new_process(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=activated(tmp_path), cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


@pytest.mark.slow
def test_dagster_validates_the_definitions(tmp_path: Path) -> None:
    """By its own command; an empty data folder is enough, and stays empty."""
    dagster = str(COMMANDS / "dagster")
    done = in_a_new_process(tmp_path, dagster, "definitions", "validate", "-m", "mr_assets.definitions")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_the_definitions_import_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    """The UI is there in seconds: engine, trainer, model code and plots are imported where they are used."""
    program = (
        "import sys; from mr_assets.definitions import all_runs, build_definitions\n"
        "build_definitions(all_runs()).get_repository_def(); print(*sys.modules)"
    )
    done = in_a_new_process(tmp_path, sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert "mr_assets" in imported
    assert not imported & {"torch", "vllm", "trl", "transformers", "datasets", "matplotlib", "scipy"}


@pytest.mark.slow
def test_dg_checks_the_definitions(tmp_path: Path) -> None:
    """The first command that Dagster's own documentation names, in this project as it is."""
    done = in_a_new_process(tmp_path, str(COMMANDS / "dg"), "check", "defs")
    assert done.returncode == 0, done.stderr
    assert "All definitions loaded successfully" in done.stdout


@pytest.mark.slow
def test_dg_lists_the_assets(tmp_path: Path) -> None:
    """Of the recipes that come with the project, by the keys that the UI has."""
    done = in_a_new_process(tmp_path, str(COMMANDS / "dg"), "list", "defs", "--json")
    assert done.returncode == 0, done.stderr
    listed = {dg.AssetKey(asset["asset_key_parts"]) for asset in json.loads(done.stdout)["assets"]}
    assert listed > {key(asset) for asset in EDGES}


@pytest.mark.slow
def test_dg_dev_serves_the_assets(tmp_path: Path) -> None:
    """On loopback until it is interrupted, which leaves no process; nothing is noted for Dagster's telemetry."""
    port = free_port()
    command = [str(COMMANDS / "dg"), "dev", "--host", "127.0.0.1", "--port", str(port)]
    with in_a_group(command, tmp_path / "dg.log", activated(tmp_path), PROJECT) as process:
        server = Server(tmp_path / "data", port, process)
        server.wait_for(server.loaded)
        started = descendants(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        _, left = psutil.wait_procs(started, timeout=PATIENCE)
        assert started and not left
    assert not (tmp_path / ".telemetry").exists()
