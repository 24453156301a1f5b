"""The tables that `mr` prints: what was learnt, pairs made and left out, time per stage, and what is done."""

from collections import Counter
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mr_assets.compare import Compared
from mr_assets.errors import shown
from mr_assets.lineage.pairs import KINDS, pairs
from mr_assets.lineage.printable import excerpt, printable
from mr_assets.method.compare import Pair
from mr_assets.method.dropped import short
from mr_assets.runs import FAMILY_ASSETS, LOOP_ASSETS, Record, Run, State
from mr_assets.status import lines
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
SIGNS: dict[State | str, str] = {
    "done": "[green]done[/]",
    "out of date": "[yellow]out of date[/]",
    "missing": "[dim]-[/]",
    "running": "[cyan]running[/]",
    "failed": "[red]failed[/]",
}


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=150)


def print_report(run: Run) -> None:
    """What each model is worth; per iteration the pairs made and left out, and the time per stage."""
    console = _console()
    if run.recipe.evaluation:
        console.print(learnt_table(run))
    console.print(pairs_table(run))
    if checker(run.recipe):
        console.print(truth_table(run))
    console.print(time_table(run))


def learnt_table(run: Run) -> Table:
    """One row per model: the actor on held-out prompts, the judge and the meta-judge against the truth."""
    table = Table(title=f"{run.name}: each model on the held-out set")
    table.add_column("model")
    for title, _ in LEARNT.values():
        table.add_column(title, justify="right")
    for key in run.models:
        record = run.record("evaluation", key)
        if record is not None:
            found = {field: record.numbers.get(field) for field in LEARNT}
            cells = ["-" if found[f] is None else form.format(found[f]) for f, (_, form) in LEARNT.items()]
            table.add_row(key if key == "seed" else f"M{key}", *cells)
    return table


def pairs_table(run: Run) -> Table:
    """One row per iteration: pairs made by kind, and what was left out and why."""
    table = Table(title="preference pairs per iteration")
    for title in ("iteration", "prompts", "actor pairs", "judge pairs", "trained on"):
        table.add_column(title, justify="right")
    table.add_column("no actor pair because")
    table.add_column("no judge pair because")
    for t in run.iterations:
        records = {a: run.record(a, t) for a in ("prompts", "actor_pairs", "elo_pairs", "dpo_dataset")}
        if any(records.values()):
            counts = [str(r.rows) if r else "-" for r in records.values()]
            table.add_row(t, *counts, _reasons(run, "actor_pairs", t), _reasons(run, "elo_pairs", t))
    return table


def truth_table(run: Run) -> Table:
    """One row per iteration: in how many pairs of each kind the chosen side is truly better, equal and worse."""
    table = Table(title="pairs whose chosen side is truly better / equal / worse")
    for title in ("iteration", *(f"{kind} pairs" for kind in KINDS)):
        table.add_column(title, justify="right")
    for t in run.iterations:
        known = [pairs(run, [t], [kind])["true_gap"].drop_nulls() for kind in KINDS]
        if any(map(len, known)):
            table.add_row(t, *(" / ".join(map(str, counted(gaps).values())) if len(gaps) else "-" for gaps in known))
    return table


def _reasons(run: Run, asset: str, t: str) -> str:
    path = run.path(asset, t).with_suffix(".dropped.parquet")
    if not path.exists() or run.record(asset, t) is None:
        return "-"
    reasons = Counter(pl.read_parquet(path, columns=["reason"], glob=False)["reason"].to_list())
    return ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in reasons.most_common()) or "-"


def time_table(run: Run) -> Table:
    """Seconds per stage; one row for what is made once, one per iteration."""
    stages = ["responses", "judgments", "meta_judgments", "checkpoints"]
    table = Table(title="seconds per stage")
    for title in ("iteration", *stages, "other", "evaluation", "together"):
        table.add_column(title, justify="right")
    once = [run.record(asset) for asset in FAMILY_ASSETS]
    table.add_row("once", *["-"] * len(stages), *_seconds(once, [run.record("evaluation", m) for m in ("seed", "0")]))
    for t in run.iterations:
        records = {a: run.record(a, t) for a in LOOP_ASSETS}
        if any(records.values()):
            named = [f"{r.seconds:.1f}" if (r := records[s]) else "-" for s in stages]
            others = [r for a, r in records.items() if a not in stages]
            evaluated = [run.record("evaluation", t)]
            table.add_row(t, *named, *_seconds(others, evaluated, [records[s] for s in stages]))
    return table


def _seconds(
    other: list[Record | None], evaluated: list[Record | None], named: list[Record | None] | None = None
) -> list[str]:
    parts = [sum(r.seconds for r in records if r) for records in (other, evaluated, named or [])]
    return [f"{parts[0]:.1f}", f"{parts[1]:.1f}", f"{sum(parts):.1f}"]


def print_status(run: Run) -> None:
    """The state of every artifact of a run, a row per asset, a column per iteration; then what `status` has to say."""
    busy = busy_assets(run)
    table = Table(title=f"{run.name}: {run.recipe.title}", caption=f"{_size(run.folder)} on disk in {run.folder}")
    table.add_column("asset")
    table.add_column("once")
    for t in run.iterations:
        table.add_column(t)
    for asset in FAMILY_ASSETS:
        table.add_row(f"{run.family}/{asset}", _sign(run, asset, None, busy), *[""] * len(run.iterations))
    for asset in LOOP_ASSETS:
        table.add_row(asset, "", *[_sign(run, asset, t, busy) for t in run.iterations])
    if run.recipe.evaluation:
        once = ", ".join(f"{m}: {_sign(run, 'evaluation', m, busy)}" for m in ("seed", "0"))
        table.add_row("evaluation", once, *[_sign(run, "evaluation", t, busy) for t in run.iterations])
    console = _console()
    console.print(table)
    for line in lines(run):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sign(run: Run, asset: str, partition: str | None, busy: dict[tuple[str, str | None], str]) -> str:
    return SIGNS[busy.get((asset, partition)) or run.state(asset, partition)]


def busy_assets(run: Run) -> dict[tuple[str, str | None], str]:
    """Which artifacts a Dagster run is making now, or failed to make since they were last complete.

    What it did not come to, because something that it should have made before is missing, did not fail.
    """
    import dagster as dg

    from mr_assets.history import partition_of
    from mr_assets.instance import instance
    from mr_assets.run_launcher import fail_dead_runs

    found: dict[tuple[str, str | None], str] = {}
    spaces = {run.name, run.family}
    with instance() as history:
        fail_dead_runs(history)
        for record in history.get_run_records(limit=50):
            each, partition = record.dagster_run, partition_of(record.dagster_run)
            keys = [k.path for k in each.asset_selection or () if k.path[0] in spaces]
            for _, asset in (k for k in keys if len(k) == 2):
                place = (asset, None if asset in FAMILY_ASSETS else partition)
                if place in found:
                    continue
                made = run.record(*place)
                if each.status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING):
                    found[place] = "" if made and made.run_id == each.run_id else "running"
                elif each.status == dg.DagsterRunStatus.FAILURE and made is None:
                    before = [
                        p for p in run.ancestors(*place) if p[1] == place[1] and [run.namespace(p[0]), p[0]] in keys
                    ]
                    found[place] = "" if any(run.record(*p) is None for p in before) else "failed"
                else:
                    found[place] = ""
    return {place: what for place, what in found.items() if what}


def print_comparison(title: str, found: list[Compared], limit: int) -> None:
    """Per iteration and kind the settings that differ, the counts, and at most `limit` of the differences with why."""
    console = _console()
    for each in found:
        head = f"{title}, iteration {each.iteration}: {each.kind} pairs"
        changed = [f"{path} {shown(old)} -> {shown(new)}" for path, (old, new) in each.settings.items()]
        counts = [f"{n} {outcome}" for outcome, n in each.result.counts.items() if n]
        console.print(f"{head}; {', '.join(changed) or 'the same settings'}", markup=False, highlight=False)
        console.print(f"  {', '.join(counts) or 'no prompts'}", markup=False, highlight=False)
        changes = each.result.changes[:limit]
        if changes:
            table = Table()
            for column in ("prompt", "what", "before", "after", "why"):
                table.add_column(column, no_wrap=column != "why")
            for c in changes:
                table.add_row(c.prompt_id, c.outcome, _pair(c.before), _pair(c.after), escape(c.why))
            console.print(table)
        if left := len(each.result.changes) - len(changes):
            console.print(f"  and {left} more: --limit {len(each.result.changes)}", markup=False, highlight=False)


def _pair(pair: Pair | None) -> str:
    return f"{short(pair.chosen)} > {short(pair.rejected)}" if pair else "-"


def print_pairs(found: pl.DataFrame, count: int) -> None:
    """Pairs as `mr_assets.lineage.pairs.Query` answers: gaps and the beginnings of texts; `count`: how many match."""
    several = found["run"].n_unique() > 1
    table = Table(title=f"{found.height} of {count} pairs" if found.height < count else f"{count} pairs")
    for title in ("pair", "score gap", "length gap", "Elo gap", "trained on", "prompt", "chosen", "rejected"):
        side = title in ("prompt", "chosen", "rejected")
        table.add_column(title, justify="left" if side or title == "pair" else "right", no_wrap=not side)
    for row in found.iter_rows(named=True):
        gaps = ["-" if row[f"{g}_gap"] is None else f"{row[f'{g}_gap']:.4g}" for g in ("score", "length", "elo")]
        texts = [escape(excerpt(row[name] or "", 40)) for name in ("prompt", "chosen", "rejected")]
        trained = {True: "yes", False: "no", None: "-"}[row["trained_on"]]
        name = f"{row['run']}/{row['pair_id']}" if several else row["pair_id"]
        table.add_row(escape(printable(name)), *gaps, trained, *texts)
    _console().print(table)


def print_runs(runs: list[Run]) -> None:
    """The runs that were launched: what they are, how far they are, the disk that they take."""
    table = Table(title="runs")
    for title in ("run", "recipe", "complete iterations", "disk"):
        table.add_column(title)
    for run in runs:
        done = sum(run.record("checkpoints", t) is not None for t in run.iterations)
        table.add_row(run.name, run.recipe.title, f"{done} of {len(run.iterations)}", _size(run.folder))
    _console().print(table)


def _size(folder: Path) -> str:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.exists() else 0
    return f"{size / 2**20:,.1f} MiB"
