"""A tiny model of Llama 3's shape and random pairs for it, shared by the slow tests of the trainers."""

import random
from pathlib import Path

import polars as pl
import pytest

from mr_assets.training.job import TrainingJob
from mr_assets_tests.llama3_shape import make_llama3_shaped_model
from mr_assets_tests.training.jobs import new_job

IDS = pl.List(pl.Int32)
ROWS = 10
BEGIN, EOT = 768, 777  # <|begin_of_text|> and <|eot_id|>, which is also what TRL pads with here


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder."""
    return make_llama3_shaped_model(tmp_path_factory.mktemp("policy"), hidden=32)


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pairs of random token ids; every third completion was cut off and has no end token."""
    rng = random.Random(0)

    def ids(low: int, high: int) -> list[int]:
        return [rng.randrange(768) for _ in range(rng.randint(low, high))]

    def completion() -> list[int]:
        return ids(1, 12) + [EOT] * (rng.random() < 0.67)

    rows = [(f"1.{n}.actor", [BEGIN, *ids(3, 20), EOT], completion(), completion()) for n in range(ROWS)]
    path = tmp_path_factory.mktemp("data") / "dpo.parquet"
    columns = ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids")
    schema = pl.Schema({"pair_id": pl.String(), **dict.fromkeys(columns, IDS)})
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    return path


@pytest.fixture(scope="session")
def examples(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chosen sides alone, for SFT."""
    path = tmp_path_factory.mktemp("data") / "sft.parquet"
    data = pl.read_parquet(pairs)
    data.select("prompt_token_ids", completion_token_ids="chosen_token_ids").write_parquet(path)
    return path


@pytest.fixture
def dpo_job(policy: Path, pairs: Path, tmp_path: Path) -> TrainingJob:
    """`small_dpo_job`, to be done in a folder of the test's own."""
    return small_dpo_job(policy, pairs, tmp_path / "1")


def small_dpo_job(policy: Path, pairs: Path, out: Path) -> TrainingJob:
    """Three epochs of three steps (batches of 4, 4 and 2 pairs), the first epoch kept."""
    return new_job(
        kind="dpo",
        model=policy,
        data=pairs,
        out=out,
        learning_rate=1e-3,
        schedule_epochs=3,
        keep_epoch=1,
        max_length=40,
        batch_size=4,
        micro_batch_size=4,
        cpu_threads=1,
    )


@pytest.fixture
def sft_job(policy: Path, examples: Path, tmp_path: Path) -> TrainingJob:
    """The same schedule on the chosen sides."""
    return new_job(
        kind="sft",
        model=policy,
        data=examples,
        out=tmp_path / "0",
        learning_rate=1e-3,
        schedule_epochs=3,
        keep_epoch=1,
        max_length=40,
        batch_size=4,
        micro_batch_size=4,
        cpu_threads=1,
    )
