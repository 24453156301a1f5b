"""Weights that nothing needs any more: which those are, and taking them away. The record stays, and says so.

    storage.keep_policies: 2      of M1 to M4, when M4 is there, M3 and M4 keep their weights

A pruned model is no damaged one. Whatever was made of it stays current, and its log, its reward margins, its figures
and its tokenizer stay where they are. What would need its weights again is refused, with what to do.
"""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.files import bytes_in
from mr_assets.loop import LOOP, Place, titled
from mr_assets.runs.artifact import pruned_since, said_of_pruned
from mr_assets.runs.object_store import store_of
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import state

EPOCHS = "epochs"  # of a model's folder: the other epochs that were kept


def prunable(run: Run) -> list[str]:
    """The iterations whose model has its weights and is needed no more, the first one first.

    It is if `storage.keep_policies` later ones are there, and everything of the next iteration, and its evaluation.
    """
    keep = run.recipe.storage.keep_policies
    if keep is None:
        return []
    there = [t for t in run.iterations if state(run, "checkpoints", t) == "done" and not is_pruned(run, t)]
    return [t for t in there[:-keep] if _passed_on(run, t)]


def is_pruned(run: Run, model: str) -> bool:
    """Whether a model of the run ("0", "1", ...) has a record and no weights any more."""
    return bool(pruned_since(run.place(*run.model_at(model))))


def prune(run: Run) -> dict[str, int]:
    """Take away the weights that `prunable` names; the bytes that each model's folder got smaller by.

    The record says so first: a kill between the two leaves weights that the next call removes.
    """
    freed = {}
    for t in prunable(run):
        folder, record = run.place("checkpoints", t), run.record("checkpoints", t)
        assert record is not None
        files = {name: note for name, note in record.files.items() if not _is_weights(name)}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = bytes_in(folder)
        if store := store_of(folder):
            for name, note in files.items():  # what a record stands for is put with it
                store.fetch(folder / name, note)
        write_record(run.record_path("checkpoints", t), replace(record, files=files, pruned=now))
        _remove_weights(folder)
        if store:
            for name in record.files.keys() - files.keys():
                store.withdraw(folder / name)
        freed[t] = before - bytes_in(folder)
    if run.recipe.storage.keep_policies is not None:
        for t in run.iterations:  # what a kill left
            if is_pruned(run, t):
                _remove_weights(run.place("checkpoints", t))
    return freed


def check_policy(run: Run, assets: Sequence[str], partition: str | None, made: Collection[Place] = ()) -> None:
    """Raise `UserError` if `assets` are to be made with a model that has no weights, and that is not `made` before."""
    if partition in (None, "seed"):
        return
    assert partition is not None
    needed = {str(int(partition) - 1): [asset for asset in assets if "policy" in (asset, *LOOP[asset].upstream)]}
    needed[partition] = [asset for asset in assets if LOOP[asset].per == "model"]
    for model, by in needed.items():
        if by and (place := run.model_at(model)) not in made and is_pruned(run, model):
            said = said_of_pruned(run.place(*place))
            raise UserError(f"{titled(by[0], partition)} of {run.name} cannot be re-materialized. {said}")


def _passed_on(run: Run, t: str) -> bool:
    after = str(int(t) + 1)
    made: list[Place] = [(asset, after) for asset in run.loop.per("iteration")]
    made += [(asset, t) for asset in run.loop.per("model")]
    return all(state(run, *place) == "done" for place in made)


def _is_weights(name: str) -> bool:
    return name.endswith((".safetensors", ".safetensors.index.json"))


def _remove_weights(folder: Path) -> None:
    for path in folder.iterdir():
        if _is_weights(path.name):
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / EPOCHS, ignore_errors=True)
