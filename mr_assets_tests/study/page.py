"""The tables of docs/study.md, between their markers, and its picture; of the results that are there.

<!-- study: worth -->
...                          written here
<!-- end -->
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from mr_assets.errors import UserError
from mr_assets_tests.study.arms import ARMS, CLAIMS, COMPARISONS, SEEDS, Claim
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
PAGE, PICTURE = DOCS / "study.md", DOCS / "pictures" / "study.png"
LINES = {
    "meta": ("Meta-Rewarding", "#3b6ea8"),
    "self": ("Self-Rewarding", "#d1783c"),
    "shuffled": ("shuffled judge pairs", "#6a9a4f"),
}
DIGITS = {"true_score": 2, "judge_exact": 3, "characters": 0}
LAST = "M4"
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def write_page(results: Results, page: Path = PAGE, picture: Path = PICTURE) -> Path:
    """Write the tables into the page, and draw the picture; returns the page."""
    text = page.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- study: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not begin or not end:
            raise UserError(f"{page}: expected <!-- study: {name} --> on a line, and <!-- end --> below it.")
        text = f"{before}{begin}{table(results)}\n{end}{after}"
    page.write_text(text, encoding="utf-8")
    if (lines := of_lines(results)).height:
        draw(mean_and_spread(lines), LINES, picture)
    return page


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
    return f"![{said}](pictures/{PICTURE.name})" if of_lines(results).height else "No picture yet."


def worth(results: Results) -> str:
    """What the last model of each arm is worth: mean, lowest and highest over seeds."""
    rows = []
    for arm in ARMS.values():
        if seeds := seeds_of(results, arm.name):
            last = [results[arm.name, seed].models[LAST] for seed in seeds]
            cells = [_spread([model[figure] for model in last], DIGITS[figure]) for figure in FIGURES]
            rows.append([f"`{arm.name}`", arm.words, str(len(seeds)), *cells])
    return _table(["arm", "what", "seeds", *FIGURES.values()], rows)


def differences(results: Results) -> str:
    """Every comparison at the last model: the mean difference with both intervals."""
    rows = []
    for left, right, differ in COMPARISONS:
        for figure, words in FIGURES.items():
            if found := between(results, left, right, LAST, figure):
                rows.append([_minus(left, right), differ, words, *_estimate(found, DIGITS[figure])])
    return _table(["arms", "differ in", f"figure of {LAST}", *ESTIMATE], rows)


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


TABLES: dict[str, Callable[[Results], str]] = {
    "made of": made_of,
    "claims": claims,
    "worth": worth,
    "picture": drawn,
    "differences": differences,
    "by model": by_model,
    "learnt": learnt,
    "filtered": filtered,
}
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
