"""The tables that `mr` prints, and the same for programs: what was learnt, pairs made and dropped, figures, time.

What is stale says so in its row, and below the tables why.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from mr_assets.cli.terminal import Column, Table, Wrapped, mebibytes, show
from mr_assets.errors import shown
from mr_assets.files import bytes_in
from mr_assets.ids import PAIR_ASSETS, model_id, short
from mr_assets.lineage.compare import Compared
from mr_assets.lineage.pair_changes import Pair
from mr_assets.lineage.pairs import GAPS, KINDS, TEXTS, pairs
from mr_assets.loop import Place, titled
from mr_assets.printable import excerpt
from mr_assets.recipes.differences import from_paper
from mr_assets.recipes.fields import described
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.estimates import estimates
from mr_assets.runs.figures import FIGURES, MISSING, Row, rows
from mr_assets.runs.judge_prompts import JudgePrompts
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run
from mr_assets.runs.status import places, stale, state
from mr_assets.tables import found_dropped
from mr_assets.worlds.truth import checker, counted

LEARNT = {
    "true_score": ("true score", "{:.2f}"),
    "accuracy": ("accuracy", "{:.2f}"),
    "characters": ("characters", "{:.0f}"),
    "judge_exact": ("judge exact", "{:.2f}"),
    "judge_spearman": ("judge rank corr.", "{:.2f}"),
    "meta_accuracy": ("meta-judge acc.", "{:.2f}"),
    "meta_first": ("first wins", "{:.2f}"),
}
# What has a column of its own in the tables of time and of pairs; the rest is under "other".
STAGES = ("responses", "judgments", "meta_judgments", "checkpoints")
PAIRS_OF = ("prompts", "actor_pairs", "elo_pairs", "dpo_dataset")
STALE = "stale"


def _marked(name: str, is_stale: bool) -> str:
    return f"{name}, {STALE}" if is_stale else name


# ------------------------------------------------------------------------------------------------------------- report


def print_report(run: Run) -> None:
    """What each model is worth; per iteration the pairs made and dropped, its figures, and the time per stage."""
    old = stale(run)
    tables = [learnt_table(run, old)] if run.recipe.evaluation else []
    true = [truth_table(run, old)] if checker(run.recipe) else []
    of_iterations = [pairs_table(run, old), *true, *meta_judge_tables(run, old)]
    show(*tables, *of_iterations, *figures_tables({run.name: rows(run, old)}), time_table(run, old))
    _show_roots(run, old)


def print_reports(runs: Sequence[Run]) -> None:
    """Several runs side by side: what their models are worth, and the figures of each iteration below each other."""
    old = {run.name: stale(run) for run in runs}
    show(*(learnt_table(run, old[run.name]) for run in runs if run.recipe.evaluation))
    show(*figures_tables({run.name: rows(run, old[run.name]) for run in runs}))
    for run in runs:
        _show_roots(run, old[run.name], f" in {run.name}")


def _show_roots(run: Run, old: Mapping[Place, str], where: str = "") -> None:
    """What is stale by itself, and why."""
    if old:
        show(f"{STALE}{where}: what is marked so is of other content or settings than the run has now")
        roots = [(place, why) for place, why in old.items() if state(run, *place) == STALE]
        show(*(f"  {titled(*place)}: {why}" for place, why in roots))


def figures_tables(found: Mapping[str, Sequence[Row]]) -> list[Table]:
    """A table for each group of figures: a row per iteration, of several runs (by name) one for each."""
    several = [Column("run")] if len(found) > 1 else []
    every = [(row, [name] if several else []) for name, those in found.items() for row in those]
    every.sort(key=lambda each: int(each[0].iteration))
    tables = []
    for group, figures in FIGURES.items():
        numbers = [Column(figure.name, number=True) for figure in figures]
        table = Table(f"{group}, per iteration", [Column("iteration"), *several, *numbers])
        for row, name in every:
            shown = [figure.shown(row.values[figure.name]) for figure in figures]
            if any(cell != MISSING for cell in shown):
                table.add(_marked(row.iteration, row.why_stale(group) is not None), *name, *shown)
        tables += [table] if table.rows else []
    return tables


def report_as_json(run: Run) -> dict[str, Any]:
    """For programs: the same; `stale` says why something is stale, null if it is not."""
    old = stale(run)
    evaluated = {key: run.record("evaluation", key) for key in run.models} if run.recipe.evaluation else {}
    models = [
        {"model": model_id(key), **record.numbers, "stale": old.get(("evaluation", key))}
        for key, record in evaluated.items()
        if record
    ]
    by_iteration = []
    for t in run.iterations:
        records = {asset: run.record(asset, t) for asset in PAIRS_OF}
        if any(records.values()):
            counts = {asset: record and record.rows for asset, record in records.items()}
            known = {kind: pairs(run, [t], [kind])["true_gap"].drop_nulls() for kind in KINDS}
            truth = {f"truth of {kind} pairs": counted(gaps) for kind, gaps in known.items() if len(gaps)}
            without = {f"no {kind} pair because": dict(reasons_of(run, PAIR_ASSETS[kind], t)) for kind in PAIR_ASSETS}
            by_iteration.append({"iteration": t, **counts, **without, **truth, "stale": _first(old, PAIRS_OF, t)})
    seconds = [
        {"asset": asset, "partition": partition, "seconds": record.seconds, "stale": old.get((asset, partition))}
        for asset, partition in places(run)
        if (record := run.record(asset, partition))
    ]
    figures = [{"iteration": row.iteration, **row.values, "stale": row.stale or None} for row in rows(run, old)]
    return {"run": run.name, "models": models, "pairs": by_iteration, "figures": figures, "seconds": seconds}


def _first(old: Mapping[Place, str], assets: Sequence[str], t: str) -> str | None:
    """Why the first of an iteration's assets that is stale is so."""
    return next((old[asset, t] for asset in assets if (asset, t) in old), None)


def learnt_table(run: Run, old: Mapping[Place, str] | None = None) -> Table:
    """One row per model: the actor on held-out prompts, the judge and the meta-judge against the truth."""
    old = stale(run) if old is None else old
    columns = [Column("model"), *(Column(title, number=True) for title, _ in LEARNT.values())]
    table = Table(f"{run.name}: each model on the held-out set", columns)
    for key in run.models:
        record = run.record("evaluation", key)
        if record is not None:
            found = {field: record.numbers.get(field) for field in LEARNT}
            cells = ["-" if found[f] is None else form.format(found[f]) for f, (_, form) in LEARNT.items()]
            table.add(_marked(model_id(key), ("evaluation", key) in old), *cells)
    return table


def pairs_table(run: Run, old: Mapping[Place, str] | None = None) -> Table:
    """One row per iteration: pairs made by kind, and what was dropped and why."""
    old = stale(run) if old is None else old
    counted = [Column(title, number=True) for title in ("prompts", "actor pairs", "judge pairs", "trained on")]
    why = [Column(f"no {kind} pair because", text=True, least=16) for kind in PAIR_ASSETS]
    table = Table("preference pairs per iteration", [Column("iteration"), *counted, *why])
    for t in run.iterations:
        records = {asset: run.record(asset, t) for asset in PAIRS_OF}
        if any(records.values()):
            counts = [str(r.rows) if r else "-" for r in records.values()]
            reasons = [
                ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in reasons_of(run, asset, t).most_common())
                for asset in PAIR_ASSETS.values()
            ]
            is_stale = _first(old, PAIRS_OF, t) is not None
            table.add(_marked(t, is_stale), *counts, *(each or "-" for each in reasons))
    return table


def truth_table(run: Run, old: Mapping[Place, str] | None = None) -> Table:
    """One row per iteration: in how many pairs of each kind the chosen side is truly better, equal and worse."""
    old = stale(run) if old is None else old
    columns = [Column("iteration"), *(Column(f"{kind} pairs", number=True) for kind in KINDS)]
    table = Table("pairs whose chosen side is truly better / equal / worse", columns)
    for t in run.iterations:
        known = [pairs(run, [t], [kind])["true_gap"].drop_nulls() for kind in KINDS]
        if any(map(len, known)):
            cells = [" / ".join(map(str, counted(gaps).values())) if len(gaps) else "-" for gaps in known]
            table.add(_marked(t, _first(old, tuple(PAIR_ASSETS.values()), t) is not None), *cells)
    return table


TABLE_5 = {
    "higher score wins": "higher score wins",
    "first position wins, same score": "first wins, same score",
    "first position wins, different score": "first wins, other score",
    "first position wins": "first wins, all",
}
"""The columns of the paper's Table 5, by the figures of meta_judgments."""


def meta_judge_tables(run: Run, old: Mapping[Place, str] | None = None) -> list[Table]:
    """One row per iteration that trains the judge: how its meta-judge is biased, as Table 5; no table of none."""
    old = stale(run) if old is None else old
    columns = [Column("iteration"), *(Column(title, number=True) for title in (*TABLE_5.values(), "decisive battles"))]
    table = Table("the meta-judge's biases, with 95% intervals (Table 5)", columns)
    for t in run.iterations:
        record = run.record("meta_judgments", t)
        found = estimates(record.numbers) if record else {}
        if "decisive battles" in found:
            cells = [found[name].shown() if name in found else MISSING for name in TABLE_5]
            count = f"{found['decisive battles'].value:,}"
            table.add(_marked(t, ("meta_judgments", t) in old), *cells, count)
    return [table] if table.rows else []


def reasons_of(run: Run, asset: str, t: str) -> Counter[str]:
    """How many things an asset dropped, by reason."""
    path = found_dropped(run.path(asset, t))
    if path is None or run.record(asset, t) is None:
        return Counter()
    return Counter(pl.read_parquet(path, columns=["reason"], glob=False)["reason"].to_list())


def time_table(run: Run, old: Mapping[Place, str] | None = None) -> Table:
    """Seconds per stage; one row for what is made once, one per iteration."""
    old = stale(run) if old is None else old
    columns = [Column(title, number=True) for title in (*STAGES, "other", "evaluation", "together")]
    table = Table("seconds per stage", [Column("iteration"), *columns])
    once = [(asset, None) for asset in run.loop.per("family")]
    evaluated = [(asset, model) for asset in run.loop.per("model") for model in ("seed", "0")]
    is_stale = any(place in old for place in (*once, *evaluated))
    seconds = _seconds([run.record(*p) for p in once], [run.record(*p) for p in evaluated])
    table.add(_marked("once", is_stale), *["-"] * len(STAGES), *seconds)
    for t in run.iterations:
        records = {a: run.record(a, t) for a in run.loop.per("iteration")}
        if any(records.values()):
            named = [f"{r.seconds:.1f}" if (r := records[s]) else "-" for s in STAGES]
            others = [r for a, r in records.items() if a not in STAGES]
            seconds = _seconds(others, [run.record(a, t) for a in run.loop.per("model")], [records[s] for s in STAGES])
            is_stale = _first(old, (*run.loop.per("iteration"), *run.loop.per("model")), t) is not None
            table.add(_marked(t, is_stale), *named, *seconds)
    return table


def _seconds(
    other: list[Record | None], evaluated: list[Record | None], named: list[Record | None] | None = None
) -> list[str]:
    parts = [sum(r.seconds for r in records if r) for records in (other, evaluated, named or [])]
    return [f"{parts[0]:.1f}", f"{parts[1]:.1f}", f"{sum(parts):.1f}"]


# --------------------------------------------------------------------------------------------------- pairs, comparison


def print_comparison(title: str, found: Sequence[Compared], runs: Sequence[Run], limit: int) -> None:
    """Per iteration and kind the settings that differ, the counts, and at most `limit` of the differences with why.

    runs: whose pairs are compared; which of them are stale is said before their differences.
    """
    old = stale_pairs(runs)
    for each in found:
        head = f"{title}, iteration {each.iteration}: {each.kind} pairs"
        changed = [f"{path} {shown(old)} -> {shown(new)}" for path, (old, new) in each.settings.items()]
        counts = [f"{n} {outcome}" for outcome, n in each.result.counts.items() if n]
        show(f"{head}; {', '.join(changed) or 'the same settings'}", f"  {', '.join(counts) or 'no prompts'}")
        show(*(f"  {STALE} in {name}: {why}" for name, why in _stale_of(each, old).items()))
        changes = each.result.changes[:limit]
        if changes:
            columns = [Column(title) for title in ("prompt", "what", "before", "after")]
            table = Table("", [*columns, Column("why", text=True, least=20)])
            for c in changes:
                table.add(c.prompt_id, c.outcome, _pair(c.before), _pair(c.after), c.why)
            show(table)
        if left := len(each.result.changes) - len(changes):
            show(f"  and {left} more: --limit {len(each.result.changes)}")


def comparison_as_json(found: Sequence[Compared], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For programs: everything; `stale` says of which run the pairs that are compared are stale, and why."""
    old = stale_pairs(runs)
    return [each.as_json() | {"stale": _stale_of(each, old)} for each in found]


def _stale_of(each: Compared, old: Mapping[tuple[str, str, str], str]) -> dict[str, str]:
    return {name: why for (name, t, kind), why in old.items() if (t, kind) == (each.iteration, each.kind)}


def _pair(pair: Pair | None) -> str:
    return f"{short(pair.chosen)} > {short(pair.rejected)}" if pair else "-"


def print_pairs(found: pl.DataFrame, count: int, runs: Sequence[Run]) -> None:
    """Pairs as `mr_assets.lineage.pairs.Query` answers: gaps and the beginnings of texts; `count`: how many match."""
    several = found["run"].n_unique() > 1
    title = f"{found.height} of {count} pairs" if found.height < count else f"{count} pairs"
    gaps = [gap for gap in GAPS if found[gap].is_not_null().any()]
    numbers = [Column(each, number=True) for each in (*(GAPS[gap] for gap in gaps), "trained on")]
    texts = [Column(each, text=True, least=18) for each in TEXTS]
    table = Table(title, [Column("pair"), *numbers, *texts])
    for row in found.iter_rows(named=True):
        values = ["-" if row[gap] is None else f"{row[gap]:.4g}" for gap in gaps]
        said = [excerpt(row[text.title] or "", 40) for text in texts]
        trained = {True: "yes", False: "no", None: "-"}[row["trained_on"]]
        table.add(f"{row['run']}/{row['pair_id']}" if several else row["pair_id"], *values, trained, *said)
    show(table)
    listed = set(found.select("run", "iteration", "kind").unique().iter_rows())
    for (name, t, kind), why in stale_pairs(runs).items():
        if (name, t, kind) in listed:
            where = f"{name}, iteration {t}" if several else f"iteration {t}"
            show(f"{STALE}: the {kind} pairs of {where}: {why}")


def stale_pairs(runs: Sequence[Run]) -> dict[tuple[str, str, str], str]:
    """Why the pairs of a run, an iteration and a kind are stale; those that are not are left out."""
    found = {}
    for run in runs:
        old = stale(run)
        for t in run.iterations:
            for kind, asset in PAIR_ASSETS.items():
                if why := old.get((asset, t)):
                    found[run.name, t, kind] = why
    return found


def pairs_as_json(found: pl.DataFrame, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For programs: the rows, and in `stale` why a pair is stale."""
    old = stale_pairs(runs)
    return [
        row | {"stale": old.get((row["run"], row["iteration"], row["kind"]))} for row in found.iter_rows(named=True)
    ]


# ---------------------------------------------------------------------------------------------------------------- runs


def print_runs(runs: Sequence[Run]) -> None:
    """The runs that were launched: what they are, how far they are, the disk that they take."""
    columns = [Column("run"), *(Column(title, text=True) for title in ("recipe", "complete iterations"))]
    table = Table("runs", [*columns, Column("disk", number=True)])
    for run in runs:
        done, old = _complete(run)
        how_far = f"{len(done)} of {len(run.iterations)}" + (f", {len(old)} {STALE}" if old else "")
        table.add(run.name, run.recipe.title, how_far, mebibytes(bytes_in(run.folder)))
    show(table)


def runs_as_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For programs: the same."""
    found = []
    for run in runs:
        done, old = _complete(run)
        counts = {"iterations": len(run.iterations), "complete": len(done), "stale": len(old)}
        about = {"run": run.name, "title": run.recipe.title, "family": run.family, "folder": str(run.folder)}
        found.append({**about, **counts, "bytes": bytes_in(run.folder)})
    return found


def _complete(run: Run) -> tuple[list[str], list[str]]:
    """The iterations whose model is there and current, and those whose model is there and stale."""
    trained = [t for t in run.iterations if run.record("checkpoints", t) is not None]
    old = stale(run) if trained else {}
    return [t for t in trained if ("checkpoints", t) not in old], [t for t in trained if ("checkpoints", t) in old]


# ------------------------------------------------------------------------------------------------------------- recipes


def print_recipe(name: str, recipe: Recipe, prompts: JudgePrompts) -> None:
    """Every key of a recipe with its value and range, and below it what it means; then the judges' own prompts."""
    show(Wrapped(f"{name}: {recipe.title}", "bold"), Wrapped(recipe.description.strip(), hanging=""), "")
    for each in described(recipe):
        depth = "  " * each.key.replace(".*", "").count(".")
        if each.is_section:
            show(Wrapped(f"{depth}{each.key}: {each.meaning}", "bold"))
        elif each.key not in ("title", "description"):
            show(
                Wrapped(f"{depth}{each.key} = {each.shown}  ({each.allowed})", hanging="      "),
                Wrapped(f"{depth}    {each.meaning}", hanging=""),
            )
    if departing := from_paper(recipe):
        show("", Wrapped("departs from the paper's judge:", "bold"))
        for path, old, new in departing:
            show(Wrapped(f"  {path} = {shown(new)}, the paper has {shown(old)}", hanging="      "))
    for what, template, file in (
        ("judge prompt", prompts.judge, recipe.judgments.template),
        ("meta-judge prompt", prompts.meta_judge, recipe.meta_judgments.template),
    ):
        if file:
            show("", Wrapped(f"{what}, {file}:", "bold"))
            show(*(Wrapped(f"  {line}", hanging="  ") for line in template.text.splitlines()))


def recipe_as_json(name: str, recipe: Recipe, prompts: JudgePrompts) -> dict[str, Any]:
    """For programs: the same, and both prompts; of a row's field one value per iteration."""
    fields = [
        {"key": each.key, "value": each.value, "allowed": each.allowed, "meaning": each.meaning}
        for each in described(recipe)
        if not each.is_section
    ]
    return {
        **{"recipe": name, "title": recipe.title, "description": recipe.description, "fields": fields},
        "departs_from_paper": [d._asdict() for d in from_paper(recipe)],
        "prompts": {"judge": prompts.judge.text, "meta_judge": prompts.meta_judge.text},
    }
