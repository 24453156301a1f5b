"""A run that is as small as a run can be, for tests of the wiring."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.recipes.load import load_recipe, with_iterations
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.runs.settings import settings_of
from mr_assets.tables import TABLES, dropped_frame, dropped_path

NAME = "small_world_meta_rewarding"
SMALL = (  # whatever the shipped recipe says
    "prompts.count=24",
    "eft.examples=12",
    "dpo.beta=0.1",
    "dpo.schedule_epochs=3",
    "iterations.all={prompts: 5, rho: 0.0, keep_epoch: 3, judge_training: true}",
    "iterations.2.judge_training=false",
    "responses.k=4",
    "judgments.n=3",
    "evaluation={prompts: 4, samples: 1, judged_responses: 6, battles: 3}",
    "human_agreement=null",
)

CHANCE = "guardrails.score_reliability_at_least={warn: 0.7, stop: null}"
"""For the fake judge, half of whose scores are by lot: of a few rows it may look like one that knows nothing."""


def tiny_run(data: Path, *sets: str) -> Run:
    """Two iterations of five prompts; the first trains the judge, the second does not."""
    return Run("tiny", tiny_recipe(*sets), data)


def copied(data: Path, folder: Path) -> Path:
    """A copy of a data folder that a test may change; its weights are links, whose content `put` alone may change."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)

    return Path(shutil.copytree(data, folder, copy_function=copy, dirs_exist_ok=True))


def put(path: Path, content: bytes | bytearray) -> None:
    """Write a file in place of one that may be a link to another folder's."""
    path.unlink()
    path.write_bytes(content)


@cache
def tiny_recipe(*sets: str) -> Recipe:
    """The recipe of `tiny_run`."""
    return with_iterations(load_recipe(NAME, (*SMALL, *sets)), 2)


def complete(run: Run, asset: str, partition: str | None = None, version: str = "v1") -> Record:
    """Put the record of an artifact where it belongs, made of what is there now with the settings in force.

    A table that is not there is put beside it, without rows.
    """
    model = None
    if asset in ("sft_checkpoint", "policy", "checkpoints"):
        owner, at = run.model_at(str(int(partition or 1) - 1)) if asset == "policy" else (asset, partition)
        path = run.path(owner, at)
        model = {"path": str(path.relative_to(run.data)), "fingerprint": version, "name": f"M{at or 0}"}
    record = Record(
        asset=asset,
        partition=partition,
        version=version,
        run_id="a run",
        created="2024-07-28T00:00:00+00:00",
        seconds=1.5,
        settings=settings_of(run, asset, partition),
        inputs=run.inputs(asset, partition),
        rows=3,
        model=model,
    )
    place = run.record_path(asset, partition)
    place.parent.mkdir(parents=True, exist_ok=True)
    if asset in TABLES and not (table := run.path(asset, partition)).exists():
        TABLES[asset].empty().write_parquet(table)
    place.write_text(json.dumps(asdict(record)), encoding="utf-8")  # as write_record does, without waiting for the disk
    return record


def stored(
    run: Run,
    asset: str,
    partition: str | None,
    rows: Sequence[Mapping[str, Any]],
    dropped: Sequence[tuple[str, str, str]] | None = None,
    version: str = "v1",
) -> Record:
    """Put a table of these rows where it belongs, with its record. Columns that a row does not name are null.

    dropped: (id, reason, numbers as JSON) of what was dropped; None if the asset drops nothing.
    """
    table, path = TABLES[asset], run.path(asset, partition)
    known = {name for row in rows for name in row}
    schema = table.whole_schema if known & set(table.optional) else table.schema
    assert known <= set(schema), known - set(schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(list(rows), schema=schema).write_parquet(path)
    if dropped is not None:
        dropped_path(path).parent.mkdir(parents=True, exist_ok=True)
        dropped_frame(dropped).write_parquet(dropped_path(path))
    return complete(run, asset, partition, version)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def model_folder(folder: Path) -> Path:
    """A folder that looks like a complete model: one tensor of four bytes, a tokenizer of bytes and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|user|>", "<|assistant|>", "<|end|>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"model_type": "llama", "vocab_size": 260}')
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}'
    )
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    header = b'{"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}'
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"abcd")
    return folder
