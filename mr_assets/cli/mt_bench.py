"""`mr mt-bench`: what a judge gave models, from its ratings in the official tool's files; `mr benchmark mt_bench`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mr_assets.cli.arena_hard import with_interval
from mr_assets.cli.benchmark import Asked, at_work, benchmark, now, of_the_answers, of_the_judge, without_verdict
from mr_assets.cli.terminal import say, say_json

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
        whose = ((f"{each.model} by {each.judge}: answers", each.judgments_without) for each in scores)
        show(mt_bench_table(scores), *without_verdict(whose))


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


@benchmark.command("mt_bench")
@click.argument("name", metavar="RUN")
@click.option("--questions", required=True, metavar="FILE", help="MT-Bench's question.jsonl.")
@click.option(
    "--references",
    metavar="FILE",
    help="reference_answer/gpt-4.jsonl; needed where a question is of math, reasoning or coding.",
)
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N questions.")
@of_the_answers(temperature=None)
@of_the_judge
def mt_bench_of_run(
    name: str, questions: str, references: str | None, first: int | None, max_tokens: int | None, **said: Any
) -> None:
    """MT-Bench: what a judge gives RUN's models, from 1 to 10, for two answers in a conversation.

    The second question follows the model's own first answer; the temperature is that of the question's category. The
    judge grades each turn as the official prompts ask it (single-answer grading). All files are in the official tool's
    layout, in RUN's folder benchmarks/mt_bench. Without an endpoint the models answer, and the judge's part is skipped.

    \b
    mr benchmark mt_bench my_run --questions question.jsonl --references reference_answer/gpt-4.jsonl \\
        --endpoint https://api.example.org/v1 --judge gpt-4.1 --price 2 8 --budget 10
    """
    from mr_assets.evaluation.mt_bench import read_answers, read_questions
    from mr_assets.public_benchmarks.mt_bench import NAME, check, finish, planned, prepare
    from mr_assets.text_files import given_path

    asking = read_questions(given_path(questions, "--questions"))[:first]
    known = read_answers(given_path(references, "--references")).turns if references else {}
    check(asking, known)
    asked = Asked(name, said)
    tokens = max_tokens or asked.run.recipe.responses.max_tokens
    if asked.dry_run:
        asked.answers(NAME, planned(asked.keys, asking, known, tokens))
        return
    with at_work(asked):
        prepared = prepare(asked.run, asked.keys, asking, known, tokens, lambda line: say(line, err=True))
        answers = asked.answers(NAME, prepared.requests)
        if answers is None:
            return
        assert asked.client is not None
        results = finish(asked.run, prepared, asked.client, answers, {"made": now()})
    asked.show(results, dict.fromkeys(TITLES, "{:.2f}") | {"ratings": "{:,}", "without_rating": "{:,}"})
