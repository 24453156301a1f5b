"""The sections of a report, each from what is known of the runs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from mr_assets.errors import shown
from mr_assets.export.card import departures, paper_of
from mr_assets.ids import PAIR_ASSETS, model_id
from mr_assets.lineage.pairs import KINDS, pairs
from mr_assets.lineage.spotcheck import agreement
from mr_assets.loop import titled
from mr_assets.report import paper
from mr_assets.report.arms import FIRST, Arm, Known
from mr_assets.report.changes import Change, between_arms, mean_of, more_is_better
from mr_assets.report.chart import Chart
from mr_assets.report.document import UNKNOWN, Cell, Section, Table
from mr_assets.report.examples import examples
from mr_assets.report.measured import Key, Measured
from mr_assets.runs.estimates import Estimate, number
from mr_assets.runs.figures import FIGURES, MISSING
from mr_assets.runs.status import departed, failed_checks, places, warnings
from mr_assets.words import judge_in_words, worded
from mr_assets.worlds.truth import checker, counted

MARKS = {"better": "better", "worse": "worse"}
CURVES = (
    *("characters", "with a score", "mean score", "reliability", "first position wins"),
    *("prompts with an actor pair", "score gap", "reward margin"),
)
"""Figures of the iterations that are drawn; all of them are in a table."""
KEY_CURVES = frozenset({"characters", "entropy", "top_share", "reward_error", "tau_previous", "over_ranked"})
"""Figures of the models that are drawn among the first curves, beside those of which more is better."""
PAIRS_OF = {"prompts": "prompts", "actor pairs": "actor_pairs", "judge pairs": "elo_pairs", "trained on": "dpo_dataset"}


# -------------------------------------------------------------------------------------------- what the models are worth


def worth(arms: Sequence[Arm]) -> Section:
    """A table per arm and asset: a row per figure, a column per model, and what changed since the seed model."""
    note = (
        "With each figure its 95% interval: of one run over its prompts, of several over their seeds. A difference has "
        "its standard error. Of twenty figures that do not change, one seems to by chance."
    )
    tables = [t for arm in arms for t in _worth(arm, [k for k in arm.figures if not k.judge], named=len(arms) > 1)]
    return Section("What each model is worth", note, tables)


def by_one_judge(arms: Sequence[Arm]) -> Section:
    """The same of what was decided by one that no iteration trains: the world's truth, another model, an endpoint."""
    note = (
        "Each table has one judge, which no iteration of the run trains. Figures of different judges cannot be "
        "compared: only those of one table can."
    )
    tables = [t for arm in arms for t in _worth(arm, [k for k in arm.figures if k.judge], named=len(arms) > 1)]
    return Section("By one judge for all models", note, tables)


def _worth(arm: Arm, keys: Sequence[Key], *, named: bool) -> Iterator[Table]:
    for (source, judge), those in groupby(sorted(keys, key=_of), key=_of):
        figures = {key: arm.figures[key] for key in those}
        models = [m for m in arm.models if any(m in each.values for runs in figures.values() for each in runs.values())]
        since = [m for m in (FIRST, model_id(0)) if m in models[:-1]]
        changes = {(c.key, m): c for m in since for c in arm.changes(models[-1], m)}
        rows = [
            [
                Cell(worded(key.name)),
                *(_value([*runs.values()], model) for model in models),
                *(_change(changes.get((key, m))) for m in since),
            ]
            for key, runs in figures.items()
        ]
        parts = [worded(source), f"judged by {judge_in_words(judge)}" * bool(judge), arm.label * named, _seeds(arm)]
        title = ", ".join(filter(None, parts))
        yield Table(title, ["", *models, *(f"{models[-1]} less {m}" for m in since)], rows)


def _of(key: Key) -> tuple[str, str]:
    return key.source, key.judge


def _seeds(arm: Arm) -> str:
    return f"mean of {len(arm.runs)} seeds" if len(arm.runs) > 1 else ""


def _value(runs: Sequence[Measured], model: str) -> Cell:
    there = [run for run in runs if model in run.values]
    if not there:
        return UNKNOWN
    found = there[0].values[model] if len(there) == 1 else mean_of([run.values[model].value for run in there])
    return Cell.of(found, "stale" if any(model in run.stale for run in there) else "")


def _change(change: Change | None) -> Cell:
    if change is None:
        return UNKNOWN
    found = change.difference
    small = "" if found.error is None else f"± {number(found.error, beside=found.value)}"
    return Cell(number(found.value, "+", found.error or 0.0), small, MARKS.get(change.verdict, ""))


# ----------------------------------------------------------------------------------------------------- recipes compared


def versus(arms: Sequence[Arm]) -> list[tuple[Arm, str, list[Change]]]:
    """Each further arm against the first: the last model that both have, and how its figures differ."""
    found = []
    for arm in arms[1:]:
        both = [model for model in arms[0].models if model in arm.models]
        if both:
            shared = {key: runs for key, runs in arm.figures.items() if key in arms[0].figures}
            changes = [between_arms(runs, arms[0].figures[key], both[-1]) for key, runs in shared.items()]
            found.append((arm, both[-1], [change for change in changes if change]))
    return found


def recipes_compared(arms: Sequence[Arm]) -> Section:
    """A table for each further arm: its last model against the first arm's."""
    note = (
        "Runs of the same seeds are paired: the difference is that within a seed, its error that over seeds. Where "
        "each recipe has one run alone, the error is that over prompts, and another seed may well say otherwise."
    )
    tables = []
    for arm, model, changes in versus(arms):
        rows = [
            [Cell(worded(c.key.name)), Cell(number(c.before)), Cell(number(c.after)), _change(c), _over(c)]
            for c in changes
        ]
        title = f"{model}: {arm.label} against {arms[0].label}"
        tables.append(Table(title, ["", arms[0].label, arm.label, "difference", "over"], rows))
    return Section("Recipes compared", note, tables)


def _over(change: Change) -> Cell:
    found = change.difference
    return Cell(f"{found.count} {found.over}" if found.count > 1 else found.over)


# --------------------------------------------------------------------------------------------------------------- curves


def curves(arms: Sequence[Arm]) -> list[Section]:
    """A chart per figure of the models, then of the iterations; a line per arm. Those that tell less are folded.

    What is the same for all models of all arms has no chart.
    """
    keys = list(dict.fromkeys(key for arm in arms for key in arm.figures))
    models = list(dict.fromkeys(model for arm in arms for model in arm.models))
    charts: dict[bool, list[Chart]] = {True: [], False: []}
    for key in keys:
        lines = {
            arm.label: _line([each.values for each in arm.figures[key].values()]) for arm in arms if key in arm.figures
        }
        judge = f", by {judge_in_words(key.judge)}" if key.judge else ""
        first = more_is_better(key.name) or key.name in KEY_CURVES
        charts[first] += _chart(f"{worded(key.source)}: {worded(key.name)}{judge}", lines, models, arms)
    iterations = max((arm.first.run.iterations for arm in arms), key=len)
    for name in CURVES:
        lines = {arm.label: _line([_figure(known, name) for known in arm.runs.values()]) for arm in arms}
        charts[True] += _chart(f"in iteration: {name}", lines, iterations, arms)
    note = "Bars are 95% intervals of a run; a band goes from the lowest to the highest seed, the line is their mean."
    return [
        Section("Curves", note, charts=charts[True]),
        Section("More curves", note, charts=charts[False], folded=True),
    ]


def _line(runs: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """What a run's figure is, or the mean of several with the lowest and the highest."""
    if len(runs) == 1:
        return dict(runs[0])
    found = {}
    for label in dict.fromkeys(label for run in runs for label in run):
        values = [run[label].value for run in runs if label in run]
        found[label] = Estimate(sum(values) / len(values), min(values), max(values))
    return found


def _figure(known: Known, name: str) -> dict[str, Estimate]:
    values = {row.iteration: row.values[name] for row in known.rows}
    return {t: Estimate(value) for t, value in values.items() if value is not None}


def _chart(
    title: str, lines: Mapping[str, Mapping[str, Estimate]], order: Sequence[str], arms: Sequence[Arm]
) -> Iterator[Chart]:
    """The chart, if there is a curve in it, and not one number alone."""
    there = {label: line for label, line in lines.items() if line}
    values = {each.value for line in there.values() for each in line.values()}
    if any(len(line) > 1 for line in there.values()) and len(values) > 1:
        banded = [arm.label for arm in arms if len(arm.runs) > 1]
        yield Chart.of(title, there, order, banded)


# ---------------------------------------------------------------------------------------- guardrails, and your own eyes


def guardrails(known: Sequence[Known]) -> Section:
    """The checks that stop or warn, with what they say."""
    rows = []
    for each in known:
        stopped, warned = failed_checks(each.run), warnings(each.run)
        found = [(p, f, "stops") for p, fs in stopped.items() for f in fs]
        found += [(p, f, "warns") for p, fs in warned.items() for f in fs]
        rows += [
            [
                Cell(each.run.name),
                Cell(titled(*p)),
                Cell(f"{f.name} {how}", mark="worse" * (how == "stops")),
                Cell(f.said),
            ]
            for p, f, how in found
        ]
    return Section("Guardrails", tables=[Table("", ["run", "artifact", "check", "what it says"], rows, numbers=False)])


def your_eyes(known: Sequence[Known]) -> Section:
    """How often the judge agrees with the answers to `mr spotcheck`."""
    rows = [
        [
            *(Cell(str(cell)) for cell in (each.run.name, kind, one.iteration, one.agree, one.disagree, one.ties)),
            UNKNOWN if one.share is None else Cell.of(Estimate(one.share, one.low, one.high)),
            UNKNOWN if one.needed is None else Cell(str(one.needed)),
        ]
        for each in known
        for kind in KINDS
        for one in agreement(each.run, kind)
    ]
    head = ["run", "pairs", "iteration", "agrees", "disagrees", "ties", "share", "answers until it is settled"]
    return Section("The judge and your own eyes", tables=[Table("", head, rows)])


# ----------------------------------------------------------------------------------------------------------- iterations


def iterations(known: Sequence[Known]) -> Section:
    """Per run the pairs made, and the figures of its records."""
    tables = []
    for each in known:
        tables += [_pairs(each), *_figures(each)]
    note = "The run's own figures, by the judge that it trains: none of them says whether a model got better."
    return Section("Iterations", note, tables, folded=True)


def _pairs(each: Known) -> Table:
    run = each.run
    there = [t for t in run.iterations if any(run.record(a, t) for a in ("prompts", *PAIR_ASSETS.values()))]
    rows = []
    for name, asset in PAIRS_OF.items():
        records = [run.record(asset, t) for t in there]
        rows.append([Cell(name), *(Cell(f"{r.rows:,}") if r and r.rows is not None else UNKNOWN for r in records)])
    if checker(run.recipe):
        for kind in KINDS:
            gaps = [pairs(run, [t], [kind])["true_gap"].drop_nulls() for t in there]
            said = [Cell(" / ".join(map(str, counted(gap).values()))) if len(gap) else UNKNOWN for gap in gaps]
            rows.append([Cell(f"{kind} pairs truly better / equal / worse"), *said])
    return Table(f"{run.name}: pairs", ["iteration", *there], rows if there else [])


def _figures(each: Known) -> Iterator[Table]:
    for group, figures in FIGURES.items():
        rows = [
            [Cell(f.name), *(Cell(f.shown(r.values[f.name]), mark="stale" * (f.name in r.stale)) for r in each.rows)]
            for f in figures
            if any(r.values[f.name] is not None for r in each.rows)
        ]
        if rows:
            yield Table(f"{each.run.name}: {group}", ["iteration", *(r.iteration for r in each.rows)], rows)


# ------------------------------------------------------------------------------------------------------------- examples


def to_read(known: Sequence[Known]) -> Section:
    """Twelve examples of the first run."""
    note = f"Of {known[0].run.name}. chosen is what the run's judge preferred; mr trace tells all of a pair."
    return Section("Twelve examples to read", note, examples=examples(known[0].run))


# -------------------------------------------------------------------------------------------- what the runs are made of


def recipe(each: Known, *, named: bool) -> Section:
    """A run's recipe, what departs from the paper, its hours, and the versions of what was made."""
    run = each.run
    records = {place: record for place in places(run) if (record := run.record(*place))}
    seconds = sum(record.seconds for record in records.values())
    times = sorted(record.created for record in records.values())
    stages: dict[str, float] = {}
    for (asset, _), record in records.items():
        stages[asset] = stages.get(asset, 0.0) + record.seconds
    longest = sorted(stages.items(), key=lambda item: -item[1])[:4]
    facts = {
        "recipe": f"{run.recipe.title}. {' '.join(run.recipe.description.split())}",
        "launched from": " ".join([run.origin[0], *(f"--set {each}" for each in run.origin[1:])]) if run.origin else "",
        "seed": str(run.recipe.seed),
        "family": run.family,
        "iterations": f"{len(each.trained)} of {len(run.iterations)} trained",
        "hours": f"{seconds / 3600:.2f} ({', '.join(f'{n} {s / 3600:.2f}' for n, s in longest)})" if longest else "",
        "made": f"{times[0]} to {times[-1]}" if times else "",
        "departs from its recipe": "; ".join(f"{titled(*p)}: {', '.join(s)}" for p, s in departed(run).items()),
    }
    paths = [[d.path, shown(d.old), shown(d.new)] for d in departures(run.recipe)]
    versions = [
        [titled(*place), each.version[:12], each.code[:12], _software(each.software), each.created]
        for place, each in records.items()
    ]
    tables = [
        _words("", ["", ""], [[name, said] for name, said in facts.items() if said]),
        _words(f"Departures from the paper's recipe, {paper_of(run.recipe)}", ["field", "paper", "here"], paths),
        _words("Versions", ["artifact", "version", "code", "software", "made at"], versions),
    ]
    return Section(f"Recipe, versions, seed and hours{f' of {run.name}' if named else ''}", "", tables, folded=True)


def _words(title: str, head: list[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table of texts."""
    return Table(title, head, [[Cell(said or MISSING) for said in row] for row in rows], numbers=False)


def _software(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def papers_figures() -> Section:
    """The paper's own figures, apart."""
    note = (
        f"Another judge's, of another model: judged by {paper.JUDGE}, of which the version is served no more. No "
        "figure above can be held against them."
    )
    rows = [[Cell(cell) for cell in row] for row in paper.TABLE_1]
    return Section(
        "The paper's own figures (Wu et al. 2024, Table 1)", note, [Table("", [*paper.HEAD], rows)], folded=True
    )
