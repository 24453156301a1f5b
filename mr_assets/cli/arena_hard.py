"""`mr arena-hard`: what models won against a baseline, from a judge's games in the official tool's files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mr_assets.cli.terminal import say_json

if TYPE_CHECKING:
    from mr_assets.cli.terminal import Table
    from mr_assets.evaluation.arena_hard import Score

TITLES = {"score": "score, %", "style_controlled": "style-controlled, %", "equal_style": "at equal style, %"}


@click.command("arena-hard")
@click.argument("judgments", nargs=-1, required=True)
@click.option("--answers", multiple=True, metavar="FILE", help="A model's answers, or the baseline's. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def arena_hard(judgments: tuple[str, ...], answers: tuple[str, ...], as_json: bool) -> None:
    """Say what Arena-Hard's official tool would say of the models in JUDGMENTS, v0.1's or v2.0's.

    JUDGMENTS are files as that tool writes them (model_judgment/JUDGE/MODEL.jsonl). Shown is the share of battles won
    against the baseline in percent, with its 95% interval over questions; with the answers of all models and of the
    baseline (model_answer/MODEL.jsonl) the style-controlled share, too. The judge's name is in the file: scores of
    different judges, or against different baselines, cannot be compared.

    \b
    mr arena-hard model_judgment/gpt-4.1/*.jsonl
    mr arena-hard model_judgment/gpt-4.1/*.jsonl --answers model_answer/M4.jsonl --answers model_answer/seed.jsonl
    """
    import polars as pl

    from mr_assets.cli.terminal import show
    from mr_assets.evaluation.arena_hard import read_answers, read_judgments, score
    from mr_assets.text_files import given_path

    games = pl.concat([read_judgments(given_path(name, "judgments")) for name in judgments])
    scores = score(games, [read_answers(given_path(name, "--answers")) for name in answers])
    if as_json:
        say_json([each._asdict() for each in scores])
    else:
        show(arena_hard_table(scores))


def arena_hard_table(scores: "Sequence[Score]") -> "Table":
    """Scores as a table: a row for each category, judge, baseline and model."""
    from mr_assets.cli.terminal import Column, Table

    titles = {name: title for name, title in TITLES.items() if any(name in each.numbers for each in scores)}
    names = [Column(title, text=True) for title in ("model", "against", "category", "judge")]
    numbers = [Column(title, number=True) for shown in titles.values() for title in (shown, "95%")]
    table = Table("Arena-Hard", [*names, *numbers, Column("questions", number=True)])
    for each in scores:
        questions = f"{each.questions:,}" + (f" ({each.without:,} without)" if each.without else "")
        cells = [cell for name in titles for cell in with_interval(each.numbers, name, 1)]
        table.add(each.model, each.baseline, each.category, each.judge, *cells, questions)
    return table


def with_interval(numbers: dict[str, float], name: str, digits: int) -> tuple[str, str]:
    """A figure and its interval for a reader; dashes where there is none."""
    if name not in numbers:
        return "-", "-"
    low, high = (f"{numbers[f'{name}_{end}']:.{digits}f}" for end in ("low", "high"))
    return f"{numbers[name]:.{digits}f}", f"{low} to {high}"
