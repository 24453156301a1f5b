"""`mr mt-bench`: what a judge gave models, from its ratings in the official tool's files."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from mr_assets.cli.arena_hard import with_interval
from mr_assets.cli.terminal import say_json

if TYPE_CHECKING:
    from mr_assets.cli.terminal import Table
    from mr_assets.evaluation.mt_bench import Score

TITLES = {"score": "score", "turn_1": "turn 1", "turn_2": "turn 2"}


@click.command("mt-bench")
@click.argument("judgments", nargs=-1, required=True)
@click.option("--questions", metavar="FILE", help="MT-Bench's question.jsonl: scores by category, in the JSON, too.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def mt_bench(judgments: tuple[str, ...], questions: str | None, as_json: bool) -> None:
    """Say what MT-Bench's official tool would say of the models in JUDGMENTS.

    JUDGMENTS are files as that tool writes them (model_judgment/JUDGE_single.jsonl): single-answer grading. Shown is
    the mean score from 1 to 10 of both turns and of each, with 95% intervals over questions. The judge's name is in the
    file: scores of different judges cannot be compared.

    \b
    mr mt-bench model_judgment/gpt-4_single.jsonl --questions question.jsonl --json
    """
    import polars as pl

    from mr_assets.cli.terminal import show
    from mr_assets.evaluation.mt_bench import read_questions, read_ratings, score
    from mr_assets.text_files import given_path

    asked = read_questions(given_path(questions, "--questions")) if questions else ()
    scores = score(pl.concat([read_ratings(given_path(name, "judgments"), asked) for name in judgments]))
    if as_json:
        say_json([each._asdict() for each in scores])
    else:
        show(mt_bench_table(scores))


def mt_bench_table(scores: "Sequence[Score]") -> "Table":
    """Scores as a table: a row for each model and judge."""
    from mr_assets.cli.terminal import Column, Table

    numbers = [Column(title, number=True) for shown in TITLES.values() for title in (shown, "95%")]
    names = [Column("model", text=True), Column("judge", text=True)]
    table = Table("MT-Bench", [*names, *numbers, Column("ratings", number=True)])
    for each in scores:
        ratings = f"{each.ratings:,}" + (f" ({each.without:,} without)" if each.without else "")
        cells = [cell for name in TITLES for cell in with_interval(each.numbers, name, 2)]
        table.add(each.model, each.judge, *cells, ratings)
    return table
