"""The model that an asset with one artifact per model is about."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import pytest

from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.wiring.models import model_of, seed_of
from mr_assets_tests.tiny import complete, model_folder, tiny_run
from mr_assets_tests.wiring.conftest import work

CONTENT = "content of model.seed"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A tiny run whose seed model is a folder of its own."""
    model_folder(tmp_path / "mine")
    return tiny_run(tmp_path, "model.seed=mine")


def trained_from(run: Run, **settings: str | None) -> None:
    """A complete M0 whose record says otherwise what it was made of; None: it does not say so."""
    record = complete(run, "sft_checkpoint", version="f00d")
    said = {name: value for name, value in (record.settings | settings).items() if value is not None}
    run.record_path("sft_checkpoint").write_text(json.dumps(asdict(replace(record, settings=said))))


def test_a_trained_model_is_the_one_that_lies_there(run: Run) -> None:
    complete(run, "sft_checkpoint", version="f00d")
    complete(run, "checkpoints", "1", version="beef")
    assert model_of(work(run, "evaluation", "0")) == Model(f"{run.family}/sft_checkpoint", "f00d", "M0")
    assert model_of(work(run, "evaluation", "1")) == Model("tiny/checkpoints/1", "beef", "M1")
    with pytest.raises(dg.Failure, match=r"tiny/checkpoints of iteration 2 is not complete: .*Materialize it first"):
        model_of(work(run, "evaluation", "2"))


def test_the_seed_model_is_its_folder(run: Run) -> None:
    """Whatever the partition, if it is asked for as such. Before SFT its content is that of now."""
    folder = run.data / "mine"
    assert model_of(work(run, "evaluation", "seed")) == Model(str(folder), fingerprint(folder), "seed")
    complete(run, "sft_checkpoint")
    assert seed_of(work(run, "evaluation", "0")) == Model(str(folder), fingerprint(folder), "seed")


def test_the_seed_model_has_the_content_that_sft_began_with(run: Run) -> None:
    """So that `Model.check` finds a folder that was changed since; not if M0 came of another folder, or did not say."""
    folder = run.data / "mine"
    now = Model(str(folder), fingerprint(folder), "seed")
    trained_from(run, **{CONTENT: "then"})
    assert model_of(work(run, "evaluation", "seed")) == replace(now, fingerprint="then")
    trained_from(run, **{CONTENT: "then", "model.seed": "other"})
    assert model_of(work(run, "evaluation", "seed")) == now
    trained_from(run, **{CONTENT: None})
    assert model_of(work(run, "evaluation", "seed")) == now


def test_a_seed_model_that_cannot_be_read_is_the_users_to_mend(run: Run) -> None:
    (run.data / "mine" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        model_of(work(run, "evaluation", "seed"))
