"""`mr spotcheck`: pairs shown blind, one key each, and how often the judge agrees with you."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import click

from mr_assets.cli.terminal import say, say_json

if TYPE_CHECKING:
    from mr_assets.cli.terminal import Table
    from mr_assets.lineage.spotcheck import Agreement, Blind, Key
    from mr_assets.runs.run import Run

ENDS = ("", "\x04")  # the end of the input, and Ctrl-D
KEYS: "dict[str, Key]" = {"a": "a", "b": "b", "t": "tie", "s": "skip"}


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--iteration", metavar="T", help="Pairs of one iteration; by default all, mixed.")
@click.option(
    "--kind", type=click.Choice(["actor", "judge"]), default="actor", show_default=True, help="Kind of pairs."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the order and the sides.")
@click.option("--show", "only_show", is_flag=True, help="Ask nothing: the agreement alone.")
@click.option("--json", "as_json", is_flag=True, help="The agreement alone, as JSON, for programs.")
def spotcheck(
    name: str, iteration: str | None, kind: Literal["actor", "judge"], seed: int, only_show: bool, as_json: bool
) -> None:
    """Show pairs of RUN blind, and say how often the judge agrees with you.

    Each pair is shown as A and B; which one was chosen is not. Keys: a, b, t for a tie, s to skip, q to end. Each
    answer is written to spotcheck.jsonl in the run's folder at once, so that you may stop at any time and go on
    later. At the end stands, per iteration, how often you preferred the chosen side, with a 95% interval, and how
    many more answers would settle whether that is more than half.
    """
    from dataclasses import asdict

    from mr_assets.errors import UserError
    from mr_assets.lineage.spotcheck import agreement, answers, to_ask
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs

    run = named_runs(data_root(), name)[name]
    if iteration is not None and iteration not in run.iterations:
        raise UserError(f"--iteration {iteration}: run {name} has iterations 1 to {run.iterations[-1]}.")
    if as_json:
        say_json([asdict(each) for each in agreement(run, kind)])
        return
    if not only_show:
        answers(run)  # a file that cannot be read is told before anything is asked
        asked = 0
        for asked, pair in enumerate(to_ask(run, kind, [iteration] if iteration else None, seed), start=1):
            if not _asked(run, pair, asked):
                break
        else:
            say("Every pair has an answer." if not asked else "That was the last pair.")
    _show(agreement(run, kind), name, kind)


def _asked(run: "Run", pair: "Blind", number: int) -> bool:
    """Ask for one pair and write the answer down; False if the person has had enough."""
    from mr_assets.lineage.spotcheck import Answer, append

    say(f"--- pair {number}", bold=True)
    for title, text in (("prompt", pair.prompt), ("A", pair.first), ("B", pair.second)):
        say(title, bold=True)
        say(text, wrap=True)
    say("Which is better? a, b, t (tie), s (skip), q (end)")
    while (key := _key()) not in (*KEYS, "q"):
        say(f"{key!r} is none of a, b, t, s, q.")
    if key == "q":
        return False
    now = datetime.now(UTC).isoformat(timespec="seconds")
    append(run, Answer(pair.pair_id, pair.version, pair.a, KEYS[key], now))
    return True


def _key() -> str:
    """One key; the end of the input, and Ctrl-C, are q."""
    try:
        pressed = click.getchar(echo=False)
    except (EOFError, KeyboardInterrupt):
        return "q"
    return pressed.lower() if pressed not in ENDS else "q"


def _show(found: "list[Agreement]", name: str, kind: str) -> None:
    from mr_assets.cli.terminal import show

    if not found:
        say("No answers yet.")
        return
    show(_table(found, name, kind))


def _table(found: "list[Agreement]", name: str, kind: str) -> "Table":
    from mr_assets.cli.terminal import Column, Table

    titles = ("agree", "disagree", "ties", "skipped", "agreement", "95%", "answers to settle it")
    columns = [Column("iteration"), *(Column(title, number=True) for title in titles)]
    table = Table(f"{name}: the judge's {kind} pairs and you", columns)
    for each in found:
        share = "-" if each.share is None else f"{each.share:.0%}"
        between = "-" if each.low is None or each.high is None else f"{each.low:.0%} to {each.high:.0%}"
        more = "-" if each.share is None else "no number" if each.needed is None else f"{each.needed} more"
        counts = (each.agree, each.disagree, each.ties, each.skipped)
        table.add(each.iteration, *map(str, counts), share, between, "settled" if each.needed == 0 else more)
    return table
