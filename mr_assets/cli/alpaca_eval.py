"""`mr alpaca-eval`: the leaderboard's figures of models, from a judge's annotations."""

import click

from mr_assets.cli.terminal import say_json


@click.command("alpaca-eval")
@click.argument("annotations", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def alpaca_eval(annotations: tuple[str, ...], as_json: bool) -> None:
    """Say what AlpacaEval 2's leaderboard would say of the models in ANNOTATIONS.

    ANNOTATIONS are files as the official tool writes them (annotations.json, or .jsonl), of one judge against one
    reference. Shown are win rate and length-controlled win rate in percent with 95% intervals, and the mean length of
    the answers in characters. The judge's name is in the file: figures of different judges cannot be compared.

    \b
    mr alpaca-eval results/my_model/weighted_alpaca_eval_gpt4_turbo/annotations.json
    """
    from mr_assets.cli.terminal import Column, Table, show
    from mr_assets.evaluation.alpaca_eval import read_annotations, score
    from mr_assets.text_files import given_path

    scores = []
    for name in annotations:
        path = given_path(name, "annotations")
        scores += [score(model, table) for model, table in read_annotations(path).items()]
    if as_json:
        say_json([each._asdict() for each in scores])
        return
    numbers = ("win rate, %", "95%", "length-controlled, %", "95%", "characters", "annotations")
    table = Table("AlpacaEval 2", [Column("model", text=True), *(Column(title, number=True) for title in numbers)])
    for each in scores:
        rows = f"{each.rows:,}" + (f" ({each.missing:,} without)" if each.missing else "")
        table.add(
            *(each.model, f"{each.win_rate:.2f}", _interval(each.win_rate_interval)),
            *(f"{each.length_controlled:.2f}", _interval(each.length_controlled_interval)),
            *(f"{each.average_length:,.0f}", rows),
        )
    show(table)


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.1f} to {ends[1]:.1f}"
