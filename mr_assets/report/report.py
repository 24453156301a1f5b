"""The report on runs: what is said of them in words, what to do next, and the sections with the figures."""

from collections.abc import Sequence

from mr_assets.report import sections
from mr_assets.report.arms import FIRST, Arm, Known, arms
from mr_assets.report.document import Report
from mr_assets.report.next_steps import next_steps
from mr_assets.report.paragraph import compared, without_truth
from mr_assets.report.scoring_shift import scoring_shift
from mr_assets.runs.figures import FIGURES
from mr_assets.runs.run import Run


def report(runs: Sequence[Run]) -> Report:
    """The report on runs, the same for the same records and tables. Runs that differ in their seeds are one arm."""
    known = [Known.of(run) for run in runs]
    found = arms(known)
    said = [_paragraph(arm, named=len(found) > 1) for arm in found]
    for arm, model, changes in sections.versus(found):
        said.append(compared(f"{arm.label} against {found[0].label}, {model} of both", changes))
    first_curves, more_curves = sections.curves(found)
    every = [
        sections.worth(found),
        sections.recipes_compared(found),
        first_curves,
        scoring_shift([(each.run, each.old) for each in known]),
        more_curves,
        sections.by_one_judge(found),
        sections.guardrails(known),
        sections.your_eyes(known),
        sections.to_read(known),
        sections.iterations(known),
        *(sections.recipe(each, named=len(known) > 1) for each in known),
        sections.papers_figures(),
    ]
    title = known[0].run.name if len(known) == 1 else f"{len(known)} runs side by side"
    return Report(title, list(filter(None, said)), next_steps(found), [each for each in every if not each.empty])


def _paragraph(arm: Arm, *, named: bool) -> str:
    """What became of the models of an arm; where none is measured, what the records of its first run say."""
    of = f"{arm.label}: " if named else ""
    models = [model for model in arm.models if model != FIRST]
    if models and FIRST in arm.models:
        seeds = f", {len(arm.runs)} seeds" if len(arm.runs) > 1 else ""
        return compared(f"{of}From the {FIRST} model to {models[-1]}{seeds}", arm.changes(models[-1]))
    rows = arm.first.rows
    if not rows:
        return f"{of}Nothing is known of it yet."
    figures = {figure.name: figure for group in FIGURES.values() for figure in group}
    first, last = ({name: f.shown(row.values[name]) for name, f in figures.items()} for row in (rows[0], rows[-1]))
    return of + without_truth(first, last, (rows[0].iteration, rows[-1].iteration))
