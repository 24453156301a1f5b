"""Runs: a recipe under a name, with a folder and a key prefix of its own.

    data/small_world_meta_rewarding/recipe.yaml            what was launched
    data/small_world_meta_rewarding/responses/2.parquet    one table per asset and iteration
    data/small_world_meta_rewarding/responses/2.json       its record: who made it, of what, with which settings
    data/small_world/seed_prompts.parquet                  shared by the recipes of one family

A record is written last. What has no record is not complete, nor is what lost a file that its record notes. What is
complete is current if its settings are the recipe's and its inputs are the present ones; and it has failed if a check
of it, held against the recipe's present bounds, is harmful: then nothing is made of it.

A run's folder may be renamed or copied: what a record says of its own run's models goes by where the record lies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from mr_assets.errors import UserError
from mr_assets.files import Note
from mr_assets.loop import LOOP, Loop, Of, Place, titled
from mr_assets.recipes.family import family_name
from mr_assets.recipes.load import load_rows, resized, with_rows
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.object_store import damage_of, store_of
from mr_assets.runs.record import Record, read_record

WEIGHTS = ".safetensors"


def noted_as(place: Place, partition: str | None) -> str:
    """How the record of an artifact of `partition` names what it is made of: the asset; of another model, with it."""
    asset, of = place
    return titled(asset, of) if LOOP[asset].per == "model" and of != partition else asset


@dataclass(frozen=True)
class Run:
    """A recipe under a name, and the data root that its artifacts live in.

    origin: the recipe's name or file, then what --set changed in it, if that is known.
    further: the rows that the recipe had at the launch beyond the iterations of the run; None if that is not known.
    as_recipe: whether what a person overrode for single artifacts counts as stale.
    """

    name: str
    recipe: Recipe
    data: Path
    launched_family: str | None = None
    origin: tuple[str, ...] = ()
    as_recipe: bool = False
    further: tuple[Iteration, ...] | None = None

    @cached_property
    def family(self) -> str:
        """The namespace of seed_prompts, eft_dataset and sft_checkpoint, shared by the recipes of one family.

        That of a launched run is stored with it: the shipped recipe of the family may change afterwards.
        """
        return self.launched_family or family_name(self.recipe)

    @cached_property
    def loop(self) -> Loop:
        """The rows of the loop that the recipe has."""
        return LOOP.of(self.recipe)

    @property
    def iterations(self) -> list[str]:
        """The partition keys: "1" to the last iteration."""
        return [str(t) for t in range(1, len(self.recipe.iterations) + 1)]

    @property
    def models(self) -> list[str]:
        """The partition keys of evaluation assets: the seed, M0 (the SFT model), and one per iteration."""
        return ["seed", "0", *self.iterations]

    @property
    def folder(self) -> Path:
        """Where the run's artifacts lie."""
        return self.data / self.name

    def namespace(self, asset: str) -> str:
        """The key prefix and folder of an asset: the family's for shared ones, else the run's."""
        return self.family if LOOP[asset].per == "family" else self.name

    def path(self, asset: str, partition: str | None = None) -> Path:
        """Where an artifact lies, to be read: `place`. What an object store has of it is fetched, but for weights."""
        place = self.place(asset, partition)
        if (store := store_of(self.data)) and (record := self.record(asset, partition)):
            beside = self.record_path(asset, partition).parent
            for name, note in (record.files or {place.name: Note()}).items():
                if not name.endswith(WEIGHTS):
                    store.fetch(beside / name, note)
        return place

    def place(self, asset: str, partition: str | None = None) -> Path:
        """Where an artifact lies or is to be written: a parquet file, or a folder for models that were trained."""
        suffix = ".parquet" if LOOP[asset].holds == "table" else ""
        names = [asset, partition] if partition else [asset]
        return self.data.joinpath(self.namespace(asset), *names[:-1], names[-1] + suffix)

    def record_path(self, asset: str, partition: str | None = None) -> Path:
        """Where an artifact's record lies: inside a trained model's folder, beside anything else."""
        path = self.place(asset, partition)
        if LOOP[asset].holds == "model":
            return path / "complete.json"
        return path.parent / f"{path.name.removesuffix('.parquet')}.json"

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """The record of an artifact; None if there is none. Whether it is true of what lies there, `damage` says."""
        return read_record(self.record_path(asset, partition))

    def damage(self, asset: str, partition: str | None = None, *, content: bool = False) -> str:
        """What is wrong with the files that an artifact's record stands for, in words; "" if nothing is.

        A look at their sizes and times of writing. Only where one was written since is its content read, or, with
        `content`, always. Of weights only the sizes are known here: their content is checked where they are loaded.
        """
        place = self.record_path(asset, partition)
        record = self.record(asset, partition)
        if record is None:
            return ""
        table = {self.place(asset, partition).name: Note()} if LOOP[asset].holds == "table" else {}
        files = {place.parent / name: note for name, note in (table | record.files).items()}
        found = (
            damage_of(path, note, self.data / ".fingerprints.json", content=content) for path, note in files.items()
        )
        return next(filter(None, found), "")

    def ancestors(self, asset: str, partition: str | None) -> list[Place]:
        """The artifacts that an artifact is made of, as (asset, partition); the handoff is among them."""
        if LOOP[asset].holds == "pointer":
            return [self.model_at(str(int(partition or "1") - 1))]
        if LOOP[asset].per == "model":
            return list(self._of_models(asset, partition or "seed"))
        return [(u, None if LOOP[u].per == "family" else partition) for u in self.upstream(asset)]

    def _of_models(self, asset: str, model: str) -> Iterator[Place]:
        """The artifacts that one of a model is made of: the model itself first, but for the seed, which is no artifact.

        Of the seed, what another asset has of the previous model is not among them.
        """
        upstream = self.upstream(asset)
        if model != "seed" and any(LOOP[u].holds == "model" for u in upstream):
            yield self.model_at(model)
        for u in (u for u in upstream if LOOP[u].holds != "model"):
            if LOOP[u].per == "model":
                keys = (self.model_before(model, of) for of in LOOP[asset].of_models.get(u, ("its own",)))
                yield from ((u, key) for key in dict.fromkeys(keys) if key is not None)
            else:  # the family's
                yield u, None

    def model_before(self, model: str, of: Of) -> str | None:
        """The key of a model's own, of the previous or of the seed model; None for the one before the seed."""
        if of == "the previous":
            place = self.models.index(model) - 1
            return self.models[place] if place >= 0 else None
        return "seed" if of == "the seed" else model

    def upstream(self, asset: str) -> tuple[str, ...]:
        """The assets that an asset is made of in this run, without the handoff."""
        return tuple(name for name in LOOP[asset].upstream if name in self.loop)

    @staticmethod
    def model_at(model: str) -> Place:
        """The artifact that model "0", "1", ... is: sft_checkpoint, or checkpoints of that iteration."""
        return ("sft_checkpoint", None) if model == "0" else ("checkpoints", model)

    def inputs(self, asset: str, partition: str | None) -> dict[str, str]:
        """The present version of everything an artifact is made of; "" where something is missing."""
        records = {noted_as(place, partition): self.record(*place) for place in self.ancestors(asset, partition)}
        return {name: record.version if record else "" for name, record in records.items()}

    def template(self, setting: str | None) -> Path | None:
        """The file that a recipe names in place of a shipped template."""
        return resolve(setting, self.data) if setting else None

    def with_iterations(self, count: int) -> "Run":
        """The run with `count` iterations: the recipe's rows as it was launched; beyond them, the last one repeated.

        Raises `UserError` if the seed prompts do not suffice.
        """
        rows = (*self.recipe.iterations, *self.rows_to_come)
        recipe = with_rows(self.recipe, resized(rows, count))
        return replace(self, recipe=recipe, further=rows[count:], launched_family=self.family)

    @property
    def rows_to_come(self) -> tuple[Iteration, ...]:
        """The rows that the recipe has beyond the run's iterations.

        An earlier version did not store them. Then they are those of the recipe that the run was launched from, if that
        still begins with the run's own rows.
        """
        if self.further is not None or not self.origin:
            return self.further or ()
        name, *sets = self.origin
        try:
            rows = load_rows(name, sets)
        except UserError:
            return ()
        mine = self.recipe.iterations
        return rows[len(mine) :] if rows[: len(mine)] == mine else ()
