"""The tables of docs/study.md and docs/small-world.md, between their markers, and the picture; of the results so far.

<!-- study: worth -->
...                          written here
<!-- end -->
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import polars as pl

from mr_assets.errors import UserError
from mr_assets_tests.study.arms import ARMS, CLAIMS, COMPARISONS, SEEDS, TRAINING, Claim
from mr_assets_tests.study.comparisons import (
    FIGURES,
    Estimate,
    Interval,
    Results,
    between,
    seeds_of,
    unlike,
    within,
)
from mr_assets_tests.study.picture import FIGURES as DRAWN
from mr_assets_tests.study.picture import draw, mean_and_spread

DOCS = Path(__file__).parents[2] / "docs"
PICTURE = Path("pictures", "study.png")
"""Of all pages, and the README's."""
LINES = {
    "meta": ("Meta-Rewarding", "#3b6ea8"),
    "self": ("Self-Rewarding", "#d1783c"),
    "shuffled": ("shuffled judge pairs", "#6a9a4f"),
}
DIGITS = {"true_score": 2, "judge_exact": 3, "characters": 0}
MODEL = {
    "true_score": FIGURES["true_score"],
    "accuracy": "actor: accuracy",
    "characters": FIGURES["characters"],
    "judge_exact": FIGURES["judge_exact"],
    "judge_spearman": "judge: rank correlation with the truth",
    "meta_accuracy": "meta-judge: accuracy",
    "meta_first": "meta-judge: first position wins",
}
"""Figures of one model, in words."""
LAST = "M4"
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

Tables = Mapping[str, Callable[[Results], str]]
"""What is written behind each marker."""


def write_pages(results: Results, docs: Path = DOCS) -> list[Path]:
    """Write the tables into their pages, and draw the picture; returns the pages. Raises `UserError` for a marker."""
    texts = {docs / page: _with_tables(docs / page, tables, results) for page, tables in PAGES.items()}
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")
    if (lines := of_lines(results)).height:
        draw(mean_and_spread(lines), LINES, docs / PICTURE)
    return list(texts)


def _with_tables(page: Path, tables: Tables, results: Results) -> str:
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- study: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise UserError(f"{page}: expected <!-- study: {name} --> on a line, and <!-- end --> below it.")
        text = f"{before}{begin}{table(results)}\n{end}{after}"
    return text


def of_lines(results: Results) -> pl.DataFrame:
    """The figures of the arms that are drawn: line, seed, model, figure, value."""
    rows = [
        (arm, str(seed), model, figure, numbers[figure])
        for arm in LINES
        for seed in seeds_of(results, arm)
        for figure in DRAWN
        for model, numbers in results[arm, seed].models.items()
    ]
    return pl.DataFrame(rows, schema=["line", "seed", "model", "figure", "value"], orient="row")


def made_of(results: Results) -> str:
    """How many results there are, on which kinds of CPU, and what makes pairs uneven."""
    cpus = sorted({result.cpu for result in results.values()})
    whole = f"{len(ARMS) * len(SEEDS)} ({len(ARMS)} arms, {len(SEEDS)} seeds)"
    lines = [f"{len(results)} results of {whole}, on: {', '.join(cpus) or 'nothing yet'}."]
    uneven = [each for left, right, _ in COMPARISONS for each in unlike(results, left, right)]
    return "\n".join([*lines, *(f"- Uneven: {each}" for each in uneven)])


def claims(results: Results) -> str:
    """What could be said, and whether it is shown: both intervals on its side of zero."""
    return _table(["claim", "arms", "difference", "seeds", ""], [_claimed(results, claim) for claim in CLAIMS])


def _claimed(results: Results, claim: Claim) -> list[str]:
    if claim.right is None:
        arms, found = f"`{claim.left}`, {LAST} {MINUS} M0", within(results, claim.left, "M0", LAST, claim.figure)
    else:
        arms, found = _minus(claim.left, claim.right), between(results, claim.left, claim.right, LAST, claim.figure)
    if found is None:
        return [claim.words, arms, DASH, "0", "no result yet"]
    as_said = found.mean * claim.sign > 0
    said = ("**shown**" if as_said else "**the opposite is shown**") if found.shown else "not shown"
    return [claim.words, arms, _short(found, DIGITS[claim.figure]), str(len(found.values)), said]


def drawn(results: Results) -> str:
    """The picture, once there is something to draw."""
    said = (
        "True score of the actor and exactness of the judge from the seed model to M4: mean over seeds, and the range"
    )
    return f"![{said}]({PICTURE})" if of_lines(results).height else "No picture yet."


def worth(results: Results) -> str:
    """What the last model of each arm is worth: mean, lowest and highest over seeds."""
    rows = []
    for arm in ARMS.values():
        if seeds := seeds_of(results, arm.name):
            last = [results[arm.name, seed].models[LAST] for seed in seeds]
            cells = [_spread([model[figure] for model in last], DIGITS[figure]) for figure in FIGURES]
            rows.append([f"`{arm.name}`", arm.words, str(len(seeds)), *cells])
    return _table(["arm", "what", "seeds", *FIGURES.values()], rows)


def models_of(results: Results, arm: str) -> str:
    """Every figure of every model of an arm: mean, lowest and highest over seeds."""
    if not (seeds := seeds_of(results, arm)):
        return "No result yet."
    found = [results[arm, seed].models for seed in seeds]
    rows = [
        [words, *(_spread([each[model][figure] for each in found], DIGITS.get(figure, 2)) for model in found[0])]
        for figure, words in MODEL.items()
    ]
    head = f"`{arm}`, {len(seeds)} seed{'s' * (len(seeds) > 1)}"
    return _table([head, *("seed model" if model == "seed" else model for model in found[0])], rows)


def differences(results: Results) -> str:
    """Every comparison at the last model: the mean difference with both intervals."""
    rows = []
    for left, right, differ in COMPARISONS:
        for figure, words in FIGURES.items():
            if found := between(results, left, right, LAST, figure):
                rows.append([_minus(left, right), differ, words, *_estimate(found, DIGITS[figure])])
    return _table(["arms", "differ in", f"figure of {LAST}", *ESTIMATE], rows)


def judge_training(results: Results) -> str:
    """What judge training is worth at the last model, a row per pair of arms that differ in it, a column per figure."""
    rows = []
    for left, right in ((each.left, each.right) for each in COMPARISONS if each.differ == TRAINING):
        found = {figure: between(results, left, right, LAST, figure) for figure in FIGURES}
        if any(found.values()):
            cells = [DASH if each is None else _short(each, DIGITS[figure]) for figure, each in found.items()]
            rows.append([_minus(left, right), *cells])
    return _table(["arms", *FIGURES.values()], rows)


def by_model(results: Results) -> str:
    """The differences in true score and exactness over the models, with the wider of the two intervals."""
    models = ["M1", "M2", "M3", "M4"]
    rows = []
    for left, right, _ in COMPARISONS:
        for figure in DRAWN:
            found = [between(results, left, right, model, figure) for model in models]
            if any(found):
                cells = [DASH if each is None else _short(each, DIGITS[figure]) for each in found]
                rows.append([_minus(left, right), FIGURES[figure], *cells])
    return _table(["arms", "figure", *models], rows)


def learnt(results: Results) -> str:
    """From M0 to the last model of each arm."""
    rows = []
    for arm in ARMS.values():
        for figure in DRAWN:
            if found := within(results, arm.name, "M0", LAST, figure):
                rows.append([arm.words, FIGURES[figure], *_estimate(found, DIGITS[figure])])
    return _table(["arm", f"{LAST} against M0", *ESTIMATE], rows)


def filtered(results: Results) -> str:
    """What the length filters dropped, pairs by iteration, mean over seeds."""
    rows = []
    for arm in ("meta", "filters"):
        for kind in ("actor", "judge"):
            if seeds := seeds_of(results, arm):
                of = [results[arm, seed].pairs for seed in seeds]
                cells = []
                for t in of[0]:
                    kept = sum(each[t][kind] for each in of) / len(of)
                    gone = sum(each[t][f"{kind} dropped"].get("chosen_too_long", 0) for each in of) / len(of)
                    cells.append(f"{kept:.0f} ({gone:.0f})")
                rows.append([ARMS[arm].words, kind, *cells])
    return _table(["arm", "pairs", *(f"iteration {t}" for t in range(1, 5))], rows)


STUDY: Tables = {
    "made of": made_of,
    "claims": claims,
    "worth": worth,
    "picture": drawn,
    "differences": differences,
    "by model": by_model,
    "learnt": learnt,
    "filtered": filtered,
}
SMALL_WORLD: Tables = {
    "meta": partial(models_of, arm="meta"),
    "self_lc": partial(models_of, arm="self_lc"),
    "judge training": judge_training,
    "noise_meta": partial(models_of, arm="noise_meta"),
    "noise_self": partial(models_of, arm="noise_self"),
}
PAGES = {"study.md": STUDY, "small-world.md": SMALL_WORLD}
"""Page by page, what is written between its markers."""
ESTIMATE = ["mean", "95%, bootstrap", "95%, t", "seeds", "shown"]


def _minus(left: str, right: str) -> str:
    return f"`{left}` {MINUS} `{right}`"


def _estimate(found: Estimate, digits: int) -> Iterator[str]:
    yield _signed(found.mean, digits)
    for interval in (found.bootstrap, found.student):
        yield _interval(interval, digits)
    yield str(len(found.values))
    yield "yes" if found.shown else "no"


def _short(found: Estimate, digits: int) -> str:
    return f"{_signed(found.mean, digits)} ({_interval(found.widest, digits)})"


def _interval(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return "one seed"
    return f"{_signed(interval.low, digits)} to {_signed(interval.high, digits)}"


def _signed(value: float, digits: int) -> str:
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", MINUS) if float(shown) else f"{0:.{digits}f}"


def _spread(values: list[float], digits: int) -> str:
    mean = sum(values) / len(values)
    return f"{mean:.{digits}f} ({min(values):.{digits}f}{DASH}{max(values):.{digits}f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return "No result yet."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
