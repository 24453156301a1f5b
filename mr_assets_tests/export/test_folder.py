"""Exported folders: what other tools read out of them, their cards, and what is refused."""

import json
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.export.folder import What, export, push
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import rematerialized, table
from mr_assets_tests.lineage.conftest import run as run
from mr_assets_tests.tiny import files, put


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where `datasets` may keep what it reads."""
    return str(tmp_path / "cache")


def test_pairs_are_those_that_were_trained_on(finished: Run, tmp_path: Path, cached: str) -> None:
    import datasets

    [folder] = export(finished, "pairs", tmp_path / "pairs")
    for t in finished.iterations:
        trained = table(finished, "dpo_dataset", t)
        trl = datasets.load_dataset(str(folder), "trl", split=f"iteration_{t}", cache_dir=cached)
        assert trl["pair_id"][:] == trained["pair_id"].to_list()
        assert trl["chosen"][:] == trained["chosen"].to_list()
        assert trl["chosen_token_ids"][:] == trained["chosen_token_ids"].to_list()
        whole = datasets.load_dataset(str(folder), "messages", split=f"iteration_{t}", cache_dir=cached)
        for pair, of_trl in zip(whole, trl, strict=True):
            assert pair["chosen"] == of_trl["prompt"] + of_trl["chosen"]
            assert pair["rejected"] == of_trl["prompt"] + of_trl["rejected"]


def test_an_iteration_alone_is_exported_without_the_others(finished: Run, tmp_path: Path) -> None:
    [folder] = export(finished, "pairs", tmp_path / "pairs", ["1"])
    assert (folder / "trl" / "iteration_1.parquet").exists()
    assert not (folder / "trl" / "iteration_2.parquet").exists()


def test_judgments_stand_with_what_was_judged(finished: Run, tmp_path: Path, cached: str) -> None:
    import datasets

    [folder] = export(finished, "judgments", tmp_path / "judgments")
    rows = datasets.load_dataset(str(folder), "judgments", split="iteration_2", cache_dir=cached)
    judged, responses = table(finished, "judgments", "2"), table(finished, "responses", "2")
    texts = dict(zip(responses["response_id"], responses["response"], strict=True))
    assert rows["judgment_id"][:] == judged["judgment_id"].to_list()
    assert rows["score"][:] == judged["score"].to_list()
    assert rows["response"][:] == [texts[identity] for identity in judged["response_id"]]


def test_models_are_whole_folders(finished: Run, tmp_path: Path) -> None:
    """Weights and tokenizer as they are, and nothing of ours but the card and the recipe."""
    made = export(finished, "models", tmp_path / "models")
    assert [folder.name for folder in made] == ["M0", "M1", "M2"]
    source = finished.path("checkpoints", "2")
    came = files(made[2])
    assert came["model.safetensors"] == (source / "model.safetensors").read_bytes()
    assert came["tokenizer.json"] == (source / "tokenizer.json").read_bytes()
    assert came["chat_template.jinja"] == (source / "chat_template.jinja").read_bytes()
    assert not {"complete.json", "reward_margins.parquet", "training_log.jsonl"} & set(came)
    assert {"README.md", "recipe.yaml"} <= set(came)


@pytest.mark.parametrize("what", ["models", "pairs", "judgments"])
def test_the_card_says_how_it_was_made(finished: Run, tmp_path: Path, what: What) -> None:
    folder = export(finished, what, tmp_path / "out", ["1"])[0]
    said = (folder / "README.md").read_text()
    asset = {"models": "checkpoints", "pairs": "dpo_dataset", "judgments": "judgments"}[what]
    record = finished.record(asset, "1")
    assert record is not None
    assert f"| {asset} of iteration 1 | `{record.version}` |" in said
    beta = finished.recipe.dpo.learning_rate
    assert f"| `dpo.learning_rate` | 5e-06 | {beta:g} |" in said
    for title in ("## Departures from the paper", "## Evaluation", "## Limits"):
        assert title in said
    assert "Stale" not in said
    assert (folder / "recipe.yaml").read_text() == finished.recipe.dump_yaml()


def test_what_is_stale_says_so_on_its_card(run: Run, tmp_path: Path) -> None:
    rematerialized(run, "responses")
    said = (export(run, "pairs", tmp_path / "out", ["1"])[0] / "README.md").read_text()
    assert "**Stale** when it was exported: dpo_dataset of iteration 1 (" in said
    with pytest.raises(UserError, match="not of the responses that are there now"):
        export(run, "judgments", tmp_path / "judgments", ["1"])
    assert not (tmp_path / "judgments").exists()


def test_a_folder_with_something_in_it_is_refused(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        export(finished, "pairs", tmp_path)
    with pytest.raises(UserError, match="is there already"):
        export(finished, "pairs", tmp_path / "mine.txt")
    assert files(tmp_path) == {"mine.txt": b"mine"}


def test_an_empty_folder_is_taken(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (export(finished, "pairs", tmp_path / "empty")[0] / "README.md").exists()


def test_the_data_folder_is_refused(run: Run) -> None:
    before = files(run.data)
    with pytest.raises(UserError, match="lies in the data folder"):
        export(run, "models", run.data / "exported")
    assert files(run.data) == before


def test_what_is_not_there_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--iteration 7: run tiny has 1 to 2"):
        export(run, "pairs", tmp_path / "out", ["7"])
    run.record_path("dpo_dataset", "2").unlink()
    with pytest.raises(UserError, match="dpo_dataset of iteration 2 of tiny is not there"):
        export(run, "pairs", tmp_path / "out", ["2"])
    assert [p.name for p in (export(run, "pairs", tmp_path / "rest")[0] / "trl").iterdir()] == ["iteration_1.parquet"]
    run.record_path("dpo_dataset", "1").unlink()
    with pytest.raises(UserError, match="has no pairs yet"):
        export(run, "pairs", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    weights = run.path("checkpoints", "1") / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    put(weights, content)
    with pytest.raises(UserError):
        export(run, "models", tmp_path / "out", ["1"])
    assert files(tmp_path / "out") == {}
    assert not list(tmp_path.glob(".tmp*"))


def test_a_pruned_model_is_refused_by_name(run: Run, tmp_path: Path) -> None:
    path = run.record_path("checkpoints", "1")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pruned": "2026-01-01T00:00:00+00:00", "files": {}}))
    with pytest.raises(UserError, match="weights of M1 were removed on 2026-01-01"):
        export(run, "models", tmp_path / "out")
    assert [folder.name for folder in export(run, "models", tmp_path / "out", ["0", "2"])] == ["M0", "M2"]


def test_push_makes_private_repositories(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client is asked for a private repository of the right kind, and to upload the folder."""
    asked: list[tuple[str, str, bool]] = []
    sent: list[tuple[str, Path]] = []

    def create(self: object, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> str:
        asked.append((repo_id, repo_type, private))
        return f"https://hub.example/{repo_id}"

    def upload(self: object, *, repo_id: str, folder_path: Path, repo_type: str) -> None:
        sent.append((repo_id, folder_path))

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", create)
    monkeypatch.setattr("huggingface_hub.HfApi.upload_folder", upload)
    made = export(finished, "models", tmp_path / "models", ["1", "2"])
    assert not asked
    assert push(made, "me/mine", "models") == ["https://hub.example/me/mine-M1", "https://hub.example/me/mine-M2"]
    assert asked == [("me/mine-M1", "model", True), ("me/mine-M2", "model", True)]
    assert sent == list(zip(("me/mine-M1", "me/mine-M2"), made, strict=True))
