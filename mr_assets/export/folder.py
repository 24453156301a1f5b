"""Write what a run has made into a folder of its own; whole or not there."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from mr_assets.errors import UserError
from mr_assets.export.card import card
from mr_assets.export.judgments import judgments
from mr_assets.export.pairs import pairs_as_messages, pairs_for_trl
from mr_assets.files import full_disk_told, temporary_beside
from mr_assets.ids import model_id
from mr_assets.loop import Place, titled
from mr_assets.processes import Worker
from mr_assets.runs.artifact import Model, pruned_since, said_of_pruned
from mr_assets.runs.run import Run

What = Literal["models", "pairs", "judgments"]
WHAT: tuple[What, ...] = ("models", "pairs", "judgments")
OF_THE_MODEL = (".safetensors", ".safetensors.index.json", ".jinja", ".model")
OF_THE_TOKENIZER = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "merges.txt", "LICENSE"),
)


def export(run: Run, what: What, folder: Path, iterations: Sequence[str] | None = None) -> list[Path]:
    """Write `what` of a run into `folder`, which must not be there or be empty; the folders to push to a hub.

    iterations: those to take; by default all that are there. Raises `UserError` if nothing is there, if a model's
    weights were pruned or are damaged, or if the folder holds something: then nothing is written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there already. Name a folder that is not, or is empty.")
    if folder.resolve().is_relative_to(run.data.resolve()):
        raise UserError(f"{folder} lies in the data folder {run.data}, which holds runs. Name a folder elsewhere.")
    places = _places(run, what, iterations)
    making: Callable[[Run, Sequence[str], Path], list[str]] = (
        _write_models if what == "models" else (_write_pairs if what == "pairs" else _write_judgments)
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(folder, Worker.of(os.getpid()))
    try:
        with full_disk_told(folder):
            temporary.mkdir()
            made = making(run, places, temporary)
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [folder / name for name in made]


def _places(run: Run, what: What, iterations: Sequence[str] | None) -> list[str]:
    """The iterations, or models, to take. Raises `UserError` if one that was asked for is not there, or none is."""
    known = run.models[1:] if what == "models" else run.iterations
    if unknown := [t for t in iterations or () if t not in known]:
        raise UserError(f"--iteration {unknown[0]}: run {run.name} has {known[0]} to {known[-1]}.")
    asset = {"models": "checkpoints", "pairs": "dpo_dataset", "judgments": "judgments"}[what]
    found = []
    for t in iterations or known:
        place = run.model_at(t) if what == "models" else (asset, t)
        there = run.record(*place) is not None and not run.damage(*place)
        if there:
            found.append(t)
        elif iterations:
            raise UserError(f"{titled(*place)} of {run.name} is not there. Make it first: `mr run` does.")
    if not found:
        raise UserError(f"run {run.name} has no {what} yet. `mr status {run.name}` says what is there.")
    if what == "models":
        for t in found:
            if pruned_since(at := run.place(*run.model_at(t))):
                raise UserError(f"{said_of_pruned(at)} Or name the iterations to export.")
    return found


def _write_models(run: Run, models: Sequence[str], folder: Path) -> list[str]:
    for key in models:
        place = run.model_at(key)
        record = run.record(*place)
        assert record is not None and record.model is not None
        model = Model(record.model["path"], record.model["fingerprint"], record.model["name"])
        model.check(run.data)
        source, target = model.folder(run.data), folder / model_id(key)
        target.mkdir()
        for path in sorted(source.iterdir()):
            if path.is_file() and (path.name in OF_THE_TOKENIZER or path.name.endswith(OF_THE_MODEL)):
                shutil.copyfile(path, target / path.name)
        what = (
            f"The policy {model_id(key)} of the run {run.name}: a whole model in safetensors with its tokenizer and "
            "chat template. It answers, judges and meta-judges.\n\n"
            f'```python\nAutoModelForCausalLM.from_pretrained("{model_id(key)}")\n```'
        )
        front = {"library_name": "transformers", "pipeline_tag": "text-generation"}
        (target / "recipe.yaml").write_text(run.recipe.dump_yaml(), encoding="utf-8")
        said = card(run, f"{model_id(key)} of {run.name}", what, [place], front)
        (target / "README.md").write_text(said, encoding="utf-8")
    return [model_id(key) for key in models]


def _write_pairs(run: Run, iterations: Sequence[str], folder: Path) -> list[str]:
    tables: dict[str, dict[str, pl.DataFrame]] = {"trl": {}, "messages": {}}
    for t in iterations:
        tables["trl"][t] = pairs_for_trl(run, t)
        tables["messages"][t] = pairs_as_messages(tables["trl"][t])
    what = (
        f"The preference pairs that the models of the run {run.name} were trained on, a split for each iteration. "
        "`trl`: prompt, chosen and rejected, as TRL's DPOTrainer takes them. `messages`: chosen and rejected as whole "
        "conversations. kind is actor (responses) or judge (judgments of one response). Gaps are chosen less rejected: "
        "of the mean scores, of the Elo scores (natural units), of the lengths (characters); reward_margin is the one "
        "after training; true_gap is known in a world alone."
    )
    _write_tables(run, "preference pairs", what, tables, folder, [("dpo_dataset", t) for t in iterations])
    return [""]


def _write_judgments(run: Run, iterations: Sequence[str], folder: Path) -> list[str]:
    what = (
        f"Every judgment of the run {run.name}, a split for each iteration: the prompt, the response judged, the "
        "judgment, its score, and, where no score could be read, why (invalid)."
    )
    tables = {"judgments": {t: judgments(run, t) for t in iterations}}
    _write_tables(run, "judgments", what, tables, folder, [("judgments", t) for t in iterations])
    return [""]


def _write_tables(
    run: Run,
    title: str,
    what: str,
    tables: dict[str, dict[str, pl.DataFrame]],
    folder: Path,
    artifacts: Sequence[Place],
) -> None:
    """The layout that `datasets.load_dataset(folder, name, split=...)` reads."""
    configs = []
    for name, splits in tables.items():
        (folder / name).mkdir()
        files = []
        for t, table in splits.items():
            path = Path(name) / f"iteration_{t}.parquet"
            table.write_parquet(folder / path)
            files.append({"split": f"iteration_{t}", "path": str(path)})
        configs.append({"config_name": name, "data_files": files})
    (folder / "recipe.yaml").write_text(run.recipe.dump_yaml(), encoding="utf-8")
    first, split = configs[0]["config_name"], next(iter(tables.values()))
    what += f'\n\n```python\nload_dataset(folder, "{first}", split="iteration_{next(iter(split))}")\n```'
    said = card(run, f"{title.capitalize()} of {run.name}", what, artifacts, {"configs": configs})
    (folder / "README.md").write_text(said, encoding="utf-8")


def push(folders: Sequence[Path], repository: str, what: What) -> list[str]:
    """Upload exported folders to a hub, as private repositories; their addresses.

    repository: OWNER/NAME; of several models each gets its name appended. The token is the user's own
    (`hf auth login` or HF_TOKEN); it is written nowhere.
    """
    from huggingface_hub import HfApi

    hub, kind = HfApi(), "model" if what == "models" else "dataset"
    addresses = []
    for folder in folders:
        name = repository if len(folders) == 1 else f"{repository}-{folder.name}"
        address = hub.create_repo(name, repo_type=kind, private=True, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, repo_type=kind)
        addresses.append(str(address))
    return addresses
