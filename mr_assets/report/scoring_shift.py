"""How the judge's scores move (Figure 5): the densities of mean scores by each model's judge, saturation and entropy.

    on the probe, which stays the same     seed, M0, M1, ... of the seed model's responses to the held-out prompts
    on-policy, which does not              M0 of its own responses in iteration 1, M1 of its own in iteration 2, ...

The two stand apart, and never on one axis: on-policy scores also rise because responses get better.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import polars as pl

from mr_assets.ids import model_id
from mr_assets.judging import Scoring
from mr_assets.loop import Place
from mr_assets.report.chart import Chart
from mr_assets.report.document import UNKNOWN, Cell, Section, Table
from mr_assets.runs.estimates import Estimate, estimates, number
from mr_assets.runs.run import Run
from mr_assets.words import worded

PROBE = "on the probe: of the seed model's responses, by each model"
OWN = "on-policy: of each model's own responses"
FIGURES = ("mean_score", "sd_score", "top_share", "entropy", "shift_previous", "tau_previous", "tau_halves")
"""Figures of `scoring_shift` that stand beside its densities; all of them are in the table of what models are worth."""
ON_POLICY = {"mean_score": "mean score", "top_share": "share of top scores", "entropy": "score entropy"}
"""The same of the judgments of an iteration, by the names in their records."""
PARTS = 5
"""Parts of the scale of which a table says how many responses lie in each."""
EVERY = 2
"""Of the places where a density is known every other one is drawn: to the eye it is the same."""
NOTE = (
    "On the probe every model judges the same responses, so that a change is the judge's. On-policy each judges its "
    "own, to other prompts in each iteration: those scores rise with better responses, too. The densities are by a "
    "Gaussian kernel (Scott's bandwidth), cut off at the ends of the scale. A judge that saturates gives the highest "
    "score often (top share), and its scores have few bits of entropy."
)


@dataclass(frozen=True)
class Judged:
    """What the judge of a model gave to responses: their mean scores, its record's figures, whether it is stale."""

    label: str
    model: str
    means: pl.Series
    figures: dict[str, Estimate]
    stale: bool


def probe(run: Run, old: Mapping[Place, str], only: Collection[str] = ()) -> list[Judged]:
    """The probe's responses by the models that have judged it; only: their keys, by default all."""
    found = []
    for key in only or run.models if "scoring_shift" in run.loop else ():
        record, path = run.record("scoring_shift", key), run.path("scoring_shift", key)
        if record and path.exists():
            means = pl.read_parquet(path, columns=["mean"], glob=False)["mean"].drop_nulls()
            known = estimates(record.numbers)
            figures = {name: known[name] for name in FIGURES if name in known}
            found.append(Judged(model_id(key), model_id(key), means, figures, ("scoring_shift", key) in old))
    return found


def on_policy(run: Run, old: Mapping[Place, str]) -> list[Judged]:
    """The responses of each iteration by the model that wrote them; none where a reward model scores."""
    found = []
    for t in run.iterations if run.recipe.reward_model is None else ():
        record, path = run.record("judgments", t), run.path("judgments", t)
        if record and path.exists():
            by_response = pl.scan_parquet(path, glob=False).group_by("response_id").agg(pl.col("score").mean())
            means = by_response.select(pl.col("score").drop_nulls().sort()).collect()["score"]
            known, model = estimates(record.numbers), model_id(int(t) - 1)
            figures = {name: known[said] for name, said in ON_POLICY.items() if said in known}
            found.append(Judged(f"{model}, iteration {t}", model, means, figures, ("judgments", t) in old))
    return found


def scoring_shift(runs: Sequence[tuple[Run, Mapping[Place, str]]]) -> Section:
    """The densities of each run, and tables of all with the figures beside them. runs: with what of each is stale."""
    tables, charts = [], []
    for title, of in ((PROBE, probe), (OWN, on_policy)):
        rows, shown = [], []
        for run, old in runs:
            judged, named = of(run, old), run.name if len(runs) > 1 else ""
            if drawn := densities(f"{title}{f', {named}' if named else ''}", judged, run):
                charts.append(drawn)
                rows += [replace(each, label=f"{named}: {each.label}" if named else each.label) for each in judged]
                shown.append(run.recipe.judgments.scoring)
        if rows:
            tables.append(_beside(title, rows))
            tables += [_in_parts(f"the same in numbers, {title}", rows, shown[0])] * (len(set(shown)) == 1)
    return Section("How the judge's scores move", NOTE, tables, charts)


def densities(title: str, judged: Sequence[Judged], run: Run) -> Chart | None:
    """The densities of mean scores over the scale; None of no scores. A model has the same colour in all of a run's.

    Of one whose means are all equal, or that has a single one, the legend says so: it has no density.
    """
    from mr_assets.method.scoring_shift import density, grid

    scoring = run.recipe.judgments.scoring
    models, lines, colours = [model_id(key) for key in run.models], {}, []
    for each in judged:
        if len(each.means):
            line = density(each.means, scoring)[::EVERY].tolist()
            known = line[0] == line[0]  # NaN is not
            all_equal = "" if known else f": all are {number(each.means[0])}"
            lines[f"{each.label}{all_equal}{' (stale)' * each.stale}"] = line if known else []
            colours.append(models.index(each.model))
    at = grid(scoring)[::EVERY].tolist()
    return Chart.over(f"mean scores ({scoring.said}) {title}", at, lines, colours) if lines else None


def _beside(title: str, judged: Sequence[Judged]) -> Table:
    """The figures, a row for each judge."""
    names = [name for name in FIGURES if any(name in each.figures for each in judged)]
    rows = [
        [
            Cell(each.label),
            *(Cell.of(each.figures[n], "stale" * each.stale) if n in each.figures else UNKNOWN for n in names),
        ]
        for each in judged
    ]
    return Table(title, ["judge", *map(worded, names)], rows)


def _in_parts(title: str, judged: Sequence[Judged], scoring: Scoring) -> Table:
    """What the densities show, for whoever does not see them; of judges that score on one scale."""
    size = (scoring.highest - scoring.lowest) / PARTS
    ends = [number(scoring.lowest + n * size) for n in range(PARTS + 1)]
    heads = [f"{low} to {high}" for low, high in pairwise(ends)]
    rows = [
        [
            Cell(each.label),
            *(Cell(f"{100 * share:.0f}%") if len(each.means) else UNKNOWN for share in shares(each.means, scoring)),
        ]
        for each in judged
    ]
    return Table(title, ["share of responses with a mean score from", *heads], rows)


def shares(means: pl.Series, scoring: Scoring) -> list[float]:
    """The share of mean scores in each of `PARTS` equal parts of the scale; one at an edge is in the higher part."""
    size = (scoring.highest - scoring.lowest) / PARTS
    part = ((means - scoring.lowest) / size + 1e-9).floor().clip(0, PARTS - 1).to_list()
    return [part.count(n) / max(len(part), 1) for n in range(PARTS)]
