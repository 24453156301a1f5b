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

import json
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, cached_property
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter

from mr_assets.errors import UserError
from mr_assets.files import Note, atomically, damage, remembered_fingerprint, write_json
from mr_assets.loop import LOOP, RENDERING
from mr_assets.recipes.family import family_name
from mr_assets.recipes.load import from_yaml, list_recipes, load_recipe, load_rows, parse_rows, resized, with_rows
from mr_assets.recipes.names import check_run_name, is_run_name
from mr_assets.recipes.recipe import Iteration, Recipe
from mr_assets.recipes.yaml_files import find_recipe, shipped
from mr_assets.runs.settings import (
    JUDGE_SIDE_OFF,
    TEXT,
    as_config,
    chosen,
    shaping_settings,
    with_chosen,
)
from mr_assets.text_files import given_path, is_file_or_folder, is_regular

if TYPE_CHECKING:
    from mr_assets.method.guardrails import Finding

PROJECT = Path(__file__).parents[2]

FAMILY_LINE = "# launched with the family "
ORIGIN_LINE = "# launched from "
FURTHER_LINE = "# the recipe goes on with "
HELD = "MR_RECIPES"  # in the environment of a Dagster run's processes: the file of the recipes that it began with
CONTENT = "content of "


@dataclass(frozen=True)
class Record:
    """What made one artifact. It lies beside the artifact, and its presence says that the artifact is complete.

    version: of the content; the same content has the same version.
    settings: the recipe's fields that shaped it, as they were in force; chosen: those of them that a person chose anew
    for it, by their launchpad names; inputs: the version of each artifact it was made of.
    policy: fingerprint of the model that wrote it, if a model did.
    model: for models, the folder (relative to the data root where it lies inside) and its name, like M2.
    numbers: the figures shown in the UI; code: the version of the method's code (`mr_assets.runs.code_versions`).
    files: what it stands for, by names relative to the record's folder; checks: what the artifact's checks measured.
    unknown: what a later version of this project noted besides; it is kept.
    """

    asset: str
    partition: str | None
    version: str
    run_id: str
    created: str
    seconds: float
    settings: dict[str, Any]
    inputs: dict[str, str]
    policy: str | None = None
    rows: int | None = None
    dropped: int | None = None
    model: dict[str, str] | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    files: dict[str, Note] = field(default_factory=dict)
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: dict[str, Any] = field(default_factory=dict)


State = Literal["done", "out of date", "missing", "failed"]


@dataclass(frozen=True)
class Run:
    """A recipe under a name, and the data root that its artifacts live in.

    origin: the recipe's name or file, then what --set changed in it, if that is known.
    further: the rows that the recipe had at the launch beyond the iterations of the run; None if that is not known.
    as_recipe: whether what a person chose anew for single artifacts counts as out of date.
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
        """Where an artifact lies: a parquet file, or a folder for models that were trained."""
        base = self.data / self.namespace(asset) / asset
        place = base / partition if partition else base
        return place.with_name(place.name + ".parquet") if LOOP[asset].holds == "table" else place

    def record_path(self, asset: str, partition: str | None = None) -> Path:
        """Where an artifact's record lies: inside a trained model's folder, beside anything else."""
        path = self.path(asset, partition)
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
        record = read_record(place)
        if record is None:
            return ""
        table = {self.path(asset, partition).name: Note()} if LOOP[asset].holds == "table" else {}
        files = {place.parent / name: note for name, note in (table | record.files).items()}
        found = (damage(path, note, self.data / ".fingerprints.json", content=content) for path, note in files.items())
        return next(filter(None, found), "")

    def failed_checks(self, asset: str, partition: str | None = None) -> "list[Finding]":
        """The harmful findings on an artifact: what its checks measured then, against the recipe's bounds of now."""
        from mr_assets.method.guardrails import harmful, judged  # takes numpy, which not every command needs

        record = self.record(asset, partition)
        return harmful(judged(asset, record.checks, self.recipe.guardrails)) if record and record.checks else []

    def ancestors(self, asset: str, partition: str | None) -> list[tuple[str, str | None]]:
        """The artifacts that an artifact is made of, as (asset, partition); the handoff is among them."""
        if LOOP[asset].holds == "pointer":
            return [self.model_at(str(int(partition or "1") - 1))]
        if LOOP[asset].per == "model":
            return [] if partition == "seed" else [self.model_at(partition or "0")]
        return [(u, None if LOOP[u].per == "family" else partition) for u in LOOP[asset].upstream]

    @staticmethod
    def model_at(model: str) -> tuple[str, str | None]:
        """The artifact that model "0", "1", ... is: sft_checkpoint, or checkpoints of that iteration."""
        return ("sft_checkpoint", None) if model == "0" else ("checkpoints", model)

    def inputs(self, asset: str, partition: str | None) -> dict[str, str]:
        """The present version of everything an artifact is made of; "" where something is missing."""
        records = {u: self.record(u, at) for u, at in self.ancestors(asset, partition)}
        return {u: record.version if record else "" for u, record in records.items()}

    def settings(self, asset: str, partition: str | None) -> dict[str, Any]:
        """The recipe's fields that shape an artifact, as JSON; the user's own files also count by their content."""
        found = shaping_settings(self.recipe, asset, partition)
        given = {"judge": self.recipe.judgments.template, "meta_judge": self.recipe.meta_judgments.template}
        for template in LOOP[asset].templates:
            path = self.template(given[template])
            if path is not None and is_regular(path) and found != JUDGE_SIDE_OFF:
                found[TEXT.format(template.replace("_", "-"))] = blake2b(path.read_bytes(), digest_size=8).hexdigest()
        for name, source in self._sources(asset, partition):
            if is_file_or_folder(path := resolve(source, self.data)):
                found[CONTENT + name] = remembered_fingerprint(path, self.data / ".fingerprints.json")
        return found

    def _sources(self, asset: str, partition: str | None) -> list[tuple[str, str]]:
        """The fields that name a file or a model folder which an artifact is made of, and what they name."""
        if asset == "eft_dataset" and not self.recipe.sft:  # it is empty
            return []
        if LOOP[asset].per == "model" and partition != "seed":  # made of a model of the loop
            return []
        named = [(path, str(attrgetter(path)(self.recipe))) for path in LOOP[asset].sources]
        return [(path, source) for path, source in named if source != "world"]

    def chosen(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """What a person chose for an artifact, by launchpad names, where it still departs from the recipe.

        It stays in force when the artifact is made again, unless the run goes `as_recipe` or the recipe has come to
        refuse it.
        """
        record = self.record(asset, partition)
        if record is None or not record.chosen or self.as_recipe:
            return {}
        try:
            found = chosen(self.recipe, asset, partition, as_config(record.chosen))
            self.choosing(asset, partition, found)
        except UserError:
            return {}
        return found

    def choosing(self, asset: str, partition: str | None, choices: Mapping[str, Any]) -> "Run":
        """The run with the recipe that is in force for one artifact; names and places are the run's own.

        Raises `UserError` if the choices contradict other fields.
        """
        if not choices:
            return self
        return replace(self, recipe=with_chosen(self.recipe, asset, partition, choices), launched_family=self.family)

    def settings_in_force(self, asset: str, partition: str | None = None) -> dict[str, Any]:
        """The settings that an artifact would be made with: the recipe's, and what a person chose."""
        return self.choosing(asset, partition, self.chosen(asset, partition)).settings(asset, partition)

    def state(self, asset: str, partition: str | None = None) -> State:
        """Whether an artifact is complete, made of what is there now with the settings in force, and fit to go on with.

        One that is damaged is missing; one that is out of date is made again, whatever its checks say.
        """
        record = self.record(asset, partition)
        if record is None or self.damage(asset, partition):
            return "missing"
        if self.changed_settings(asset, partition) or record.inputs != self.inputs(asset, partition):
            return "out of date"
        return "failed" if self.failed_checks(asset, partition) else "done"

    def changed_settings(self, asset: str, partition: str | None = None) -> dict[str, tuple[Any, Any]]:
        """The settings that an artifact was made with and would not be made with now: (then, now) by their paths.

        A content, or how the chat template renders, that an earlier version did not record yet is no difference; nor is
        a setting that had no choice then.
        """
        record, now = self.record(asset, partition), _fields(self.settings_in_force(asset, partition))
        then = _fields(record.settings) if record else now
        then = {path: value for path, value in LOOP[asset].before.items() if path in now} | then
        paths = [p for p in {**then, **now} if p in then or not (p.startswith(CONTENT) or p in RENDERING)]
        return {p: (then.get(p), now.get(p)) for p in paths if then.get(p) != now.get(p)}

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

    @property
    def stored(self) -> str:
        """What is stored with the run: the recipe as it was launched, and in comments what else belongs to it."""
        origin = f"{ORIGIN_LINE}{json.dumps(self.origin)}\n" if self.origin else ""
        rows = "" if self.further is None else json.dumps([row.model_dump() for row in self.further])
        further = f"{FURTHER_LINE}{rows}\n" if rows else ""
        return f"{FAMILY_LINE}{self.family}\n{origin}{further}{self.recipe.dump_yaml()}"

    def save(self) -> None:
        """Store the recipe with the run, unless that is what is stored."""
        path, text = self.folder / "recipe.yaml", self.stored
        if not path.is_file() or path.read_bytes() != text.encode():
            atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def _fields(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings with the fields of whole sections each by its own path."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _fields(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {prefix + name: value}
    return found


_RECORD = TypeAdapter(Record)
_FIELDS = {each.name for each in fields(Record)}


def read_record(path: Path) -> Record | None:
    """Read a record; None if there is none, or if it is not one (then what it stood beside is not complete).

    A field that this version does not know is kept in `unknown`. A model of the record's own run is where the record
    is, whatever the run's folder was called when it was written.
    """
    try:
        if not path.is_file():  # a pipe would have us wait for ever
            return None
        said = json.loads(path.read_text(encoding="utf-8"))
        unknown = {name: said.pop(name) for name in set(said) - _FIELDS}
        record = _RECORD.validate_python(said)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return replace(record, unknown=record.unknown | unknown, model=_model_here(record, path))


def _model_here(record: Record, path: Path) -> dict[str, str] | None:
    """A record's model, with its path as it is now: relative to the data root where it lies inside."""
    model = record.model
    if model is None or PurePath(model.get("path", "/")).is_absolute():
        return model
    if record.asset in ("sft_checkpoint", "checkpoints"):  # the record lies inside the model's folder
        here = path.parent.parts[-2 if record.asset == "sft_checkpoint" else -3 :]
        return {**model, "path": "/".join(here)}
    _, *inside = PurePath(model["path"]).parts
    return {**model, "path": "/".join([path.parts[-3], *inside])} if inside[:1] == ["checkpoints"] else model


def write_record(path: Path, record: Record) -> None:
    """Write a record, atomically: the last step of completing an artifact."""
    said = asdict(record)
    write_json(path, said.pop("unknown") | said)


def data_root() -> Path:
    """The folder that runs write to: MR_DATA, or the project's own data folder."""
    return given_path(os.environ.get("MR_DATA") or str(PROJECT / "data"), "MR_DATA").resolve()


def resolve(path: str, data: Path) -> Path:
    """A path of a recipe: absolute, or relative to the data root, or to the data that ships with the project.

    Raises `UserError` if no file can have it.
    """
    given = given_path(path, "path")
    places = [given] if given.is_absolute() else [data / given, PROJECT / "data" / given]
    return next((p for p in places if is_file_or_folder(p)), places[0])


def load_run(
    recipe: str,
    *,
    name: str | None = None,
    sets: tuple[str, ...] = (),
    iterations: int | None = None,
    data: Path | None = None,
) -> Run:
    """The run of a recipe (a shipped name or a YAML file) under `name`, by default the recipe's own name."""
    loaded = load_recipe(recipe, sets, iterations)
    origin = recipe if recipe in shipped() else str(find_recipe(recipe).resolve())
    further = load_rows(recipe, sets)[len(loaded.iterations) :]
    name = check_run_name(name or Path(recipe).stem)
    return Run(name, loaded, data or data_root(), origin=(origin, *sets), further=further)


def named_runs(data: Path, *names: str) -> dict[str, Run]:
    """These runs, by name; of others nothing is read. Raises `UserError` that lists the runs if one is not there."""
    runs, _ = stored_and_unreadable_runs(data, names)
    for name in names:
        if name not in runs:
            raise UserError(f"there is no run {name!r}. Runs: {', '.join(stored_runs(data)) or 'none yet'}.")
    return runs


def stored_runs(data: Path) -> dict[str, Run]:
    """The runs that were launched, by name. One whose stored recipe cannot be read any more is left out."""
    runs, unreadable = stored_and_unreadable_runs(data)
    for name, why in unreadable.items():
        _warn_once(data, f"run {name if is_run_name(name) else repr(name)} is left out: {why}")
    return runs


@cache
def _warn_once(data: Path, said: str) -> None:
    logging.getLogger(__name__).warning(said)


def stored_and_unreadable_runs(
    data: Path, names: Collection[str] | None = None
) -> tuple[dict[str, Run], dict[str, str]]:
    """The runs that were launched, by name; and of those that cannot be read any more, why. With `names`, of these.

    A folder that no run can be called, such as a copy x.bak, is passed over like those.
    """
    runs, unreadable = {}, {}
    held = _held()
    for path in sorted(data.glob("[!.]*/recipe.yaml")):
        name = path.parent.name
        if names is not None and name not in names:
            continue
        try:
            if not is_run_name(name):
                raise UserError("no run can have this name: expected lower-case words joined by single underscores")
            if not path.is_file():
                raise UserError(f"{path} is no file")
            text = held.get(name) or path.read_text(encoding="utf-8")
            family, origin, further = (_noted(text, line) for line in (FAMILY_LINE, ORIGIN_LINE, FURTHER_LINE))
            runs[name] = Run(
                name,
                from_yaml(text, str(path)),
                data,
                family,
                tuple(json.loads(origin)) if origin else (),
                further=None if further is None else parse_rows(further),
            )
        except (UserError, ValueError, OSError, RecursionError) as error:
            unreadable[name] = str(error)
    return runs, unreadable


def _noted(text: str, line: str) -> str | None:
    """What a stored recipe notes in one of its first lines."""
    return next((each.removeprefix(line) for each in text.split("\n", 3)[:3] if each.startswith(line)), None)


def hold_recipes(place: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Write stored recipes, by run, to a file for a Dagster run that begins; the environment that names the file.

    Its processes read them from there, so that it ends with the recipe that it began with, whoever changes that.
    """
    write_json(place, dict(texts))
    return {HELD: str(place)}


def recipes_of(namespaces: Iterable[str] | None, data: Path) -> dict[str, str]:
    """The stored recipes of these runs (None: of all), by name; what has none is left out."""
    names = [path.parent.name for path in data.glob("[!.]*/recipe.yaml")] if namespaces is None else namespaces
    places = {name: data / name / "recipe.yaml" for name in names if is_run_name(name)}
    return {name: path.read_text(encoding="utf-8") for name, path in places.items() if path.is_file()}


def _held() -> dict[str, str]:
    """The recipes that the Dagster run of this process began with, by run; none outside of one."""
    place = os.environ.get(HELD)
    found: dict[str, str] = json.loads(Path(place).read_text(encoding="utf-8")) if place else {}
    return found


def all_runs(data: Path | None = None) -> list[Run]:
    """What the UI shows: every run that was launched, and every shipped recipe that was not yet."""
    data = data or data_root()
    runs = stored_runs(data)
    for name in list_recipes():
        if name not in runs:
            runs[name] = Run(name, load_recipe(name), data, origin=(name,), further=())
    return list(runs.values())


def remove_run(run: Run) -> None:
    """Delete a run's folder; what it shares with its family stays. Of a link the link alone is deleted."""
    if run.folder.is_symlink():
        run.folder.unlink()
    elif run.folder.exists():
        doomed = run.folder.with_name(f".removed-{run.name}")
        shutil.rmtree(doomed, ignore_errors=True)  # what an interrupted removal left
        run.folder.rename(doomed)
        shutil.rmtree(doomed)
