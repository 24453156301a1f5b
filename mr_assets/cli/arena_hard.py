"""`mr arena-hard`: what models won, from a judge's games in the official tool's files; `mr benchmark arena_hard`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mr_assets.cli.benchmark import Asked, at_work, benchmark, now, of_the_answers, of_the_judge, without_verdict
from mr_assets.cli.terminal import say, say_json

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
        whose = ((f"{each.model} in {each.category}: answers", each.games_without) for each in scores)
        show(arena_hard_table(scores), *without_verdict(whose))


def arena_hard_table(scores: "Sequence[Score]") -> "Table":
    """Scores as a table: a row for each category, judge, baseline and model."""
    from mr_assets.cli.terminal import Column, Table

    there = {"score"}.union(*(each.numbers for each in scores))
    titles = {name: title for name, title in TITLES.items() if name in there}
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


@benchmark.command("arena_hard")
@click.argument("name", metavar="RUN")
@click.option("--questions", required=True, metavar="FILE", help="question.jsonl of Arena-Hard v0.1 or v2.0.")
@click.option(
    "--baseline",
    "baselines",
    multiple=True,
    metavar="FILE",
    help="Answers to compare with, such as model_answer/gpt-4-0314.jsonl. Default: RUN's seed model. Repeatable.",
)
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N questions.")
@of_the_answers(temperature=0.0)
@of_the_judge
def arena_hard_of_run(
    name: str,
    questions: str,
    baselines: tuple[str, ...],
    first: int | None,
    temperature: float,
    max_tokens: int | None,
    **said: Any,
) -> None:
    """Arena-Hard v0.1 or v2.0: the share of battles that RUN's models win against a baseline, and at equal style.

    The judge compares two answers to each question, in both orders, as the official prompt asks it. Without --baseline
    each model is compared with RUN's seed model. All files are in the official tool's layout, in RUN's folder
    benchmarks/arena-hard-v0.1 or -v2.0. Without an endpoint the models answer, and the judge's part is skipped.

    \b
    mr benchmark arena_hard my_run --questions arena-hard-v2.0/question.jsonl \\
        --endpoint https://api.example.org/v1 --judge gpt-4.1 --price 2 8 --budget 60
    """
    from mr_assets.evaluation.arena_hard import bench_name, read_answers, read_questions
    from mr_assets.public_benchmarks.arena_hard import check, finish, planned, prepare
    from mr_assets.sampling.settings import SamplingSettings
    from mr_assets.text_files import given_path

    asking = read_questions(given_path(questions, "--questions"))[:first]
    against = [read_answers(given_path(file, "--baseline")) for file in baselines]
    asked = Asked(name, said)
    check(asked.keys, asking, against)
    tokens = max_tokens or asked.run.recipe.responses.max_tokens
    sampling = SamplingSettings(temperature=temperature, top_p=1.0, max_tokens=tokens)
    if asked.dry_run:
        asked.answers(bench_name(asking), planned(asked.keys, asking, against, sampling))
        return
    with at_work(asked):
        prepared = prepare(asked.run, asked.keys, asking, against, sampling, lambda line: say(line, err=True))
        answers = asked.answers(bench_name(asking), prepared.requests)
        if answers is None:
            return
        assert asked.client is not None
        found = finish(asked.run, prepared, asked.client, answers, {"made": now()})
    if asked.as_json:
        say_json([results.as_json for results in found])
        return
    for results in found:
        asked.show(results, dict.fromkeys(TITLES, "{:.1f}") | {"questions": "{:,}", "without_verdict": "{:,}"})
