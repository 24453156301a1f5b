"""The README.md of an exported folder: what is in it, how it was made, what departs from the paper, and its limits.

---
license: other
tags: [meta-rewarding, mr_assets]
---
# M2 of small_world_meta_rewarding
...
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from mr_assets.errors import shown
from mr_assets.ids import model_id
from mr_assets.loop import Place, titled
from mr_assets.recipes.differences import Difference, differences
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import SPEED_FIELDS, Recipe
from mr_assets.runs.estimates import estimates
from mr_assets.runs.run import Run
from mr_assets.runs.status import stale
from mr_assets.words import worded

PAPERS = {True: "llama_3_8b_meta_rewarding", False: "llama_3_8b_self_rewarding"}
"""The paper's recipe that a run is held against: Meta-Rewarding where some iteration trains the judge."""
NOT_THE_METHOD = ("title", "description", "family", "storage", "guardrails", "seed")
LIMITS = (
    "The scores and pairs are the model's own: no human has labelled them. A judge that errs teaches its errors.",
    "Figures of different judges cannot be compared.",
    "The licence is that of the seed model, the prompts and the EFT data. Look it up before you pass this on.",
)
EVALUATED = {"evaluation": "On the held-out set of the world, against its truth; in brackets 95% intervals."}
"""What the figures of an asset were measured on."""


def paper_of(recipe: Recipe) -> str:
    """The name of the paper's recipe that a recipe is held against."""
    return PAPERS[any(row.judge_training for row in recipe.iterations)]


def departures(recipe: Recipe) -> list[Difference]:
    """Where a recipe is not the paper's."""
    return method_differences(load_recipe(paper_of(recipe)), recipe)


def method_differences(old: Recipe, new: Recipe) -> list[Difference]:
    """Where two recipes differ in the method. Names, the seed and what changes speed and memory alone do not count."""
    return [
        each
        for each in differences(old, new)
        if (section := each.path.partition("."))[0] not in NOT_THE_METHOD
        and section[2] not in SPEED_FIELDS.get(section[0], ())
    ]


def card(run: Run, title: str, what: str, artifacts: Sequence[Place], front: Mapping[str, Any]) -> str:
    """The card of a folder, as Markdown.

    what: a paragraph on what is in the folder; artifacts: what it holds; front: the hub's fields, as YAML.
    """
    old = stale(run)
    head = yaml.safe_dump({"license": "other", "tags": ["meta-rewarding", "mr_assets"], **front}, sort_keys=False)
    parts = [f"---\n{head}---", f"# {title}", what, *_stale_parts(old, artifacts)]
    parts += ["## Recipe", f"{run.recipe.title}\n\n{run.recipe.description.strip()}", "All of it is in `recipe.yaml`."]
    if found := departures(run.recipe):
        rows = [(f"`{each.path}`", shown(each.old), shown(each.new)) for each in found]
        parts += [
            "## Departures from the paper",
            f"Held against the recipe `{paper_of(run.recipe)}` (Wu et al. 2024).",
            _table(("field", "paper", "here"), rows),
        ]
    lineage = []
    for asset, partition in artifacts:
        record = run.record(asset, partition)
        assert record is not None
        inputs = ", ".join(f"{name} `{version[:12]}`" for name, version in record.inputs.items())
        lineage.append((titled(asset, partition), f"`{record.version}`", inputs or "-", record.created))
    parts += ["## Lineage", _table(("artifact", "version", "made of", "made at"), lineage)]
    for asset in run.loop.per("model"):
        records = ((key, run.record(asset, key)) for key in run.models)
        if evaluated := [(model_id(key), estimates(record.numbers)) for key, record in records if record]:
            names = sorted({name for _, found in evaluated for name in found})
            cells = [(name, *(found[n].shown() if n in found else "-" for n in names)) for name, found in evaluated]
            parts += [f"## {worded(asset).capitalize()}", EVALUATED.get(asset, ""), _table(("model", *names), cells)]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in LIMITS)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _stale_parts(old: Mapping[Place, str], artifacts: Sequence[Place]) -> list[str]:
    said = [f"{titled(*place)} ({old[place]})" for place in artifacts if place in old]
    return ["**Stale** when it was exported: " + "; ".join(said) + "."] if said else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
