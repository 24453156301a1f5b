"""The IO managers: tables and models that are whole, with a record beside them, or refused by name."""

from functools import cache
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from upath import UPath

from mr_assets.errors import UserError
from mr_assets.runs.artifact import Artifact, Model
from mr_assets.runs.record import Record, read_record
from mr_assets.tables import SEED_PROMPTS, dropped_frame
from mr_assets.wiring.io_managers import ModelIOManager, TableIOManager, load_model, users_errors
from mr_assets_tests.tiny import files

PROMPT = pl.DataFrame([("p1", "Copy the letters b c d.")], schema=SEED_PROMPTS.schema, orient="row")


def record(asset: str, partition: str | None = None) -> Record:
    return Record(asset, partition, "v1", "run", "2024-07-28", 0.5, settings={}, inputs={})


def io_managers(data: Path) -> dict[str, object]:
    return {"tables": TableIOManager(UPath(data)), "models": ModelIOManager(data)}


@cache
def history() -> dg.DagsterInstance:
    """One for all tests here: to make one takes longer than to materialize an asset."""
    return dg.DagsterInstance.ephemeral()


def write(data: Path, artifact: Artifact, partition: str | None = None) -> None:
    """Materialize r/seed_prompts (or, for iteration `partition`, r/prompts) with that artifact."""
    parts = dg.StaticPartitionsDefinition(["1", "2"]) if partition else None

    @dg.asset(
        name="prompts" if partition else "seed_prompts",
        key_prefix="r",
        io_manager_key="tables",
        partitions_def=parts,
    )
    def table() -> Artifact:
        return artifact

    dg.materialize([table], resources=io_managers(data), partition_key=partition, instance=history())


def read(data: Path, partition: str | None = None) -> pl.DataFrame:
    """What an asset downstream of it gets."""
    parts = dg.StaticPartitionsDefinition(["1", "2"]) if partition else None
    name = "prompts" if partition else "seed_prompts"
    got: list[pl.DataFrame] = []

    @dg.asset(ins={"rows": dg.AssetIn(key=["r", name])}, partitions_def=parts)
    def reader(rows: pl.LazyFrame) -> None:
        assert isinstance(rows, pl.LazyFrame)
        got.append(rows.collect())

    source = dg.AssetSpec(["r", name], partitions_def=parts).with_io_manager_key("tables")
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [reader, source]
    dg.materialize(
        assets,
        resources=io_managers(data),
        partition_key=partition,
        selection=[reader],
        instance=history(),
    )
    return got[0]


# ------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("partition", [None, "2"])
def test_a_table_reads_back_as_it_was_written(tmp_path: Path, lazy: bool, partition: str | None) -> None:
    """One parquet file that anything reads, and its record; nothing else is left."""
    write(tmp_path, Artifact(record("t", partition), rows=PROMPT.lazy() if lazy else PROMPT), partition)
    assert read(tmp_path, partition).equals(PROMPT)
    stem = "prompts/2" if partition else "seed_prompts"
    assert sorted(files(tmp_path / "r")) == [f"{stem}.json", f"{stem}.parquet"]
    assert pl.read_parquet(tmp_path / "r" / f"{stem}.parquet").equals(PROMPT)


def test_what_was_dropped_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    dropped = dropped_frame([("p2", "repeated", '{"row": 2}')])
    write(tmp_path, Artifact(record("seed_prompts"), rows=PROMPT, dropped=dropped))
    assert pl.read_parquet(tmp_path / "r" / "dropped" / "seed_prompts.parquet").equals(dropped)
    assert read(tmp_path).equals(PROMPT)


def test_what_an_earlier_version_dropped_beside_the_table_goes_with_it(tmp_path: Path) -> None:
    """Made again, the table has no file of another schema beside it, nor rows dropped of an older one."""
    write(tmp_path, Artifact(record("prompts", "2"), rows=PROMPT), "2")
    beside = tmp_path / "r" / "prompts" / "2.dropped.parquet"
    dropped_frame([("p2", "repeated", "{}")]).write_parquet(beside)
    write(tmp_path, Artifact(record("prompts", "2"), rows=PROMPT, dropped=dropped_frame()), "2")
    assert not beside.exists()
    assert pl.read_parquet(tmp_path / "r" / "dropped" / "prompts" / "2.parquet").is_empty()
    write(tmp_path, Artifact(record("prompts", "2"), rows=PROMPT), "2")
    assert not (tmp_path / "r" / "dropped" / "prompts" / "2.parquet").exists()


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    write(tmp_path, Artifact(record("seed_prompts"), rows=SEED_PROMPTS.empty(), dropped=dropped_frame()))
    assert read(tmp_path).equals(SEED_PROMPTS.empty())
    assert pl.read_parquet(tmp_path / "r" / "dropped" / "seed_prompts.parquet").equals(dropped_frame())


@pytest.mark.parametrize("lost", ["json", "parquet"])
def test_a_table_that_is_not_complete_is_refused_by_name(tmp_path: Path, lost: str) -> None:
    """Whether the record or the table is not there, the message says what to materialize, and nothing is retried."""
    write(tmp_path, Artifact(record("prompts", "2"), rows=PROMPT), "2")
    (tmp_path / "r" / "prompts" / f"2.{lost}").unlink()
    with pytest.raises(dg.Failure, match=r"Materialize r/prompts of iteration 2 first") as failed:
        read(tmp_path, "2")
    assert not failed.value.allow_retries


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (PROMPT.drop("prompt"), "missing: prompt"),
        (PROMPT.with_columns(extra=1), "unknown: extra"),
        (PROMPT.with_columns(prompt=1), "prompt is Int32, expected String"),
        (PROMPT.select("prompt", "prompt_id"), "wrong order"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_wrong_columns_are_refused_on_write(tmp_path: Path, rows: pl.DataFrame, message: str, lazy: bool) -> None:
    """The old table and its record stay."""
    write(tmp_path, Artifact(record("seed_prompts"), rows=PROMPT))
    before = files(tmp_path)
    with pytest.raises(dg.Failure) as failed:
        write(tmp_path, Artifact(record("seed_prompts"), rows=rows.lazy() if lazy else rows))
    assert message in (failed.value.description or "")
    assert files(tmp_path) == before


def test_wrong_columns_are_refused_on_read(tmp_path: Path) -> None:
    """A table of another version of this project says what to do."""
    write(tmp_path, Artifact(record("seed_prompts"), rows=PROMPT))
    PROMPT.rename({"prompt": "text"}).write_parquet(tmp_path / "r" / "seed_prompts.parquet")
    with pytest.raises(dg.Failure) as failed:
        read(tmp_path)
    assert "missing: prompt; unknown: text" in (failed.value.description or "")
    assert "Materialize seed_prompts again" in (failed.value.description or "")


def test_a_full_disk_leaves_the_old_table_and_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is whole, but which of the two attempts it is from is not certain: it is not complete."""
    write(tmp_path, Artifact(record("seed_prompts"), rows=PROMPT))

    def full(frame: pl.DataFrame, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(dg.Failure) as failed:
        write(tmp_path, Artifact(record("seed_prompts"), rows=PROMPT.vstack(PROMPT)))
    assert "no space left on disk" in (failed.value.description or "")
    assert list(files(tmp_path)) == ["r/seed_prompts.parquet"]
    assert pl.read_parquet(tmp_path / "r" / "seed_prompts.parquet").equals(PROMPT)


# -------------------------------------------------------------------------------------------------------- models


def test_a_model_reads_back_as_its_record(tmp_path: Path) -> None:
    """The record of a trained model lies inside its folder, that of a policy beside where one would be."""
    model = Model("r/checkpoints/1", "f00d", "M1")
    parts = dg.StaticPartitionsDefinition(["1", "2"])
    seen: list[Model] = []

    @dg.asset(key_prefix="r", io_manager_key="models", partitions_def=parts)
    def checkpoints() -> Artifact:
        return Artifact(record("checkpoints", "1"), model=model)

    @dg.asset(key_prefix="r", io_manager_key="models", partitions_def=parts, deps=[checkpoints])
    def policy() -> Artifact:
        return Artifact(record("policy", "1"), model=model)

    @dg.asset(ins={"a": dg.AssetIn(["r", "checkpoints"]), "b": dg.AssetIn(["r", "policy"])}, partitions_def=parts)
    def reader(a: Model, b: Model) -> None:
        seen.extend([a, b])

    dg.materialize(
        [checkpoints, policy, reader], resources=io_managers(tmp_path), partition_key="1", instance=history()
    )
    assert seen == [model, model]
    assert sorted(files(tmp_path)) == ["r/checkpoints/1/complete.json", "r/policy/1.json"]
    written = read_record(tmp_path / "r" / "policy" / "1.json")
    assert written is not None
    assert written.model == {"path": "r/checkpoints/1", "fingerprint": "f00d", "name": "M1"}
    assert model.folder(tmp_path) == tmp_path / "r" / "checkpoints" / "1"
    assert Model("/models/llama", "f00d", "seed").folder(tmp_path) == Path("/models/llama")


def test_a_model_that_is_not_complete_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(dg.Failure, match=r"r/checkpoints of iteration 1 is not complete: .*Materialize it first"):
        load_model(tmp_path / "complete.json", "r/checkpoints of iteration 1")


def test_the_users_errors_are_failures_that_are_not_retried() -> None:
    with pytest.raises(dg.Failure, match="Mend the file") as failed, users_errors():
        raise UserError("Mend the file.")
    assert not failed.value.allow_retries
