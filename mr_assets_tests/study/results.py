"""A finished run of the study as one small file: what its models are worth, and what it was made by.

    benchmarks/study/201.meta.json
    {"arm": "meta", "seed": 201, "seconds": 402.1, "models": {"seed": {"true_score": 2.8, ...}, "M0": ..., "M4": ...},
     "pairs": {"1": {"actor": 117, "actor dropped": {"chosen_too_long": 3}, "judge": 120, ...}, ...},
     "machine": {"cpu": "AMD EPYC", ...},
     "settings": {"seed": 201, "iterations.1.rho": 0.0, ...}, "code": {"responses": "5d0e...", ...}}

From these files alone the study goes on, on another day or machine. A result holds as long as settings and code are
those of now; fields that are new since count as what all runs had before there was the field.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.files import write_json
from mr_assets.ids import PAIR_ASSETS, model_id
from mr_assets.loop import LOOP, Place, titled
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.tables import EVALUATION, scan_dropped
from mr_assets_tests.benchmarks.machine import machine
from mr_assets_tests.study.arms import Arm
from mr_assets_tests.study.sharing import is_of

RESULTS = Path(__file__).parents[2] / "benchmarks" / "study"
MADE = (*(name for name, row in LOOP.items() if row.per != "model"), "evaluation")
"""What the figures are made of: other evaluations change none of them."""


@dataclass(frozen=True)
class Result:
    """One arm with one seed.

    models: the figures of `EVALUATION` by model ("seed", "M0", ...); pairs: by iteration, how many were made of each
    kind, and how many dropped for which reason; seconds: that its own artifacts took.
    """

    arm: str
    seed: int
    date: str
    seconds: float
    models: dict[str, dict[str, float]]
    pairs: dict[str, dict[str, Any]]
    machine: dict[str, Any]
    settings: dict[str, Any]
    code: dict[str, str]

    @property
    def cpu(self) -> str:
        """The kind of CPU: another one rounds otherwise, and draws other tokens."""
        return str(self.machine["cpu"])

    @property
    def last(self) -> str:
        """The last model."""
        return list(self.models)[-1]


def settings(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe that shapes the figures, by its path; of the rows with the iteration's number."""
    found: dict[str, Any] = {}
    for asset in MADE:
        row = LOOP[asset]
        if row.when is not None and not row.when(recipe):
            continue
        for t in range(1, len(recipe.iterations) + 1) if row.per == "iteration" else [1]:
            partition = str(t) if row.per == "iteration" else None
            for path, value in shaping_settings(recipe, asset, partition).items():
                found[path.replace("iteration.", f"iterations.{t}.")] = value
    return dict(_flat(found))


def changed(result: Result, recipe: Recipe) -> list[str]:
    """The settings and the assets' code by which a result is not what would be made now."""
    before = {path: value for asset in MADE for path, value in LOOP[asset].before.items()}
    then, now = {**before, **result.settings}, settings(recipe)
    fields = [path for path in sorted({*result.settings, *now}) if then.get(path) != now.get(path)]
    code = [f"code of {asset}" for asset, version in result.code.items() if version != code_version(asset)]
    return fields + code


def collected(run: Run, arm: Arm, seed: int, sources: Sequence[Run] = ()) -> Result:
    """The result of a finished run. What it shares, with its family or with `sources`, counts in no seconds."""
    places: list[Place] = [(asset, None) for asset in LOOP.per("family") if asset in run.loop]
    places += [(asset, t) for asset in LOOP.per("iteration") for t in run.iterations]
    places += [("evaluation", key) for key in run.models]
    records = {(asset, at): _record(run, asset, at) for asset, at in places}
    own = [place for place in places if place[1] and not any(is_of(source, run, place) for source in sources)]
    code: dict[str, set[str]] = {}
    for (asset, _), record in records.items():
        code.setdefault(asset, set()).add(record.code)
    return Result(
        arm=arm.name,
        seed=seed,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(sum(records[place].seconds for place in own), 1),
        models={
            "seed" if key == "seed" else model_id(key): _rounded(records["evaluation", key].numbers)
            for key in run.models
        },
        pairs={t: _pairs(run, t) for t in run.iterations},
        machine=machine(),
        settings=settings(run.recipe),
        code={asset: "+".join(sorted(versions)) for asset, versions in code.items()},
    )


def _record(run: Run, asset: str, at: str | None) -> Record:
    record = run.record(asset, at)
    if record is None:
        raise UserError(f"run {run.name} is not finished: there is no {titled(asset, at)}. Run the study again.")
    return record


def _pairs(run: Run, t: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, asset in PAIR_ASSETS.items():
        reasons = scan_dropped(run.path(asset, t)).group_by("reason").len().sort("reason").collect()
        found[kind] = _record(run, asset, t).rows or 0
        found[f"{kind} dropped"] = dict(reasons.iter_rows())
    return found


def _rounded(numbers: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(numbers[name], 4) for name in EVALUATION.columns if numbers.get(name) is not None}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields of whole sections each by its own path."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def place(arm: str, seed: int, folder: Path = RESULTS) -> Path:
    """Where a result lies."""
    return folder / f"{seed}.{arm}.json"


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Write a result, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = place(result.arm, result.seed, folder)
    write_json(path, asdict(result))
    return path


def read(folder: Path = RESULTS) -> dict[tuple[str, int], Result]:
    """All results of a folder, by arm and seed."""
    found = [Result(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    return {(each.arm, each.seed): each for each in found}
