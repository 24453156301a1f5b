"""`mr pilot`: a few prompts through every role, and what a run would meet, before a person pays for it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mr_assets.cli.run import stoppable
from mr_assets.cli.terminal import say, say_json

if TYPE_CHECKING:
    from mr_assets.cli.terminal import Table
    from mr_assets.method.intervals import Interval
    from mr_assets.pilot.pilot import Pilot
    from mr_assets.pilot.verdicts import StageVerdict

SHOWN = 600
"""Characters of a text that did not parse: its end, where the score should be."""
MOST_SCORES = 12
"""Different scores that are listed; of as many and more the commonest."""
STYLES = {"fine": "green", "warns": "yellow", "may stop the run": "red", "stops the run": "red"}


@click.command()
@click.argument("recipe")
@click.option(
    "--prompts",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="How many prompts go through it; no more than the iteration has.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Change a field of the recipe. Repeatable.")
@click.option("--name", help="Name of the run, as for `mr run`. Default: the recipe's name.")
@click.option("--again", is_flag=True, help="Measure again, also if this very pilot is there already.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def pilot(recipe: str, prompts: int, sets: tuple[str, ...], name: str | None, again: bool, as_json: bool) -> None:
    """Send a few prompts through every role of RECIPE with the model as it is, and say what a run would meet.

    The model answers, judges and compares as in the first iteration: M0 if the run has made it, else the seed model.
    A verdict per stage says whether the run's checks would warn or stop there, and which field to change; shares of few
    rows have their 95% interval. Nothing of it becomes part of a run: its tables lie in the data folder, in pilots/.
    It takes minutes; after a stop, the same command goes on. `mr plan RECIPE --pilot 16` plans with what it measured.

    \b
    mr pilot small_world_meta_rewarding
    mr pilot small_world_meta_rewarding --prompts 50 --set judgments.n=5
    """
    from mr_assets.pilot.verdicts import stage_verdicts
    from mr_assets.runs.stored import load_run

    found = made_pilot(load_run(recipe, name=name, sets=sets), prompts, again=again)
    stages = stage_verdicts(found)
    if as_json:
        say_json(pilot_as_json(found, stages))
    else:
        show_pilot(found, stages)


def made_pilot(run: Any, prompts: int, *, again: bool = False) -> "Pilot":
    """The pilot of a run, made now unless it is there; what happens is said on standard error."""
    from mr_assets.pilot.pilot import check, forget, make, planned

    found = planned(run, prompts)
    if again:
        forget(found)
    if found.is_made:
        say(f"The pilot of {run.name} is there already (mr pilot --again measures again).", err=True)
        return found
    began = time.monotonic()
    say(f"pilot of {run.name}: {found.prompts} prompts, {_model(found)}", bold=True, err=True)
    with stoppable():
        for note in check(found):
            say(f"note: {note}", err=True)
        make(found)
    minutes, seconds = divmod(time.monotonic() - began, 60)
    say(f"pilot of {run.name}: done in {minutes:.0f} min {seconds:.0f} s", bold=True, err=True)
    return found


def show_pilot(pilot: "Pilot", stages: "Sequence[StageVerdict]") -> None:
    """The pilot for a reader: what follows from it, tables, and texts that did not parse."""
    from mr_assets.cli.terminal import Wrapped, show

    show(Wrapped("\n".join(conclusion(pilot, stages)), hanging=""), "", roles_table(stages), verdicts_table(stages))
    for line in _findings(stages):
        say(line, wrap=True)
    for stage in stages:
        for text in stage.unparsed:
            say(f"\n{text.id}, {text.reason}:", bold=True)
            cut = len(text.text) > SHOWN
            say("\n".join(f"  {line}" for line in (("..." * cut) + text.text[-SHOWN:]).split("\n")))
    say(f"\nAll texts are in {pilot.run.folder}; nothing of it is part of a run.")


def conclusion(pilot: "Pilot", stages: "Sequence[StageVerdict]") -> Iterator[str]:
    """What the pilot says in a few sentences, a line each."""
    from mr_assets.pilot.verdicts import judges, ways_out, worst

    verdict, name = worst(stages), pilot.of.name
    what = f"{pilot.prompts} prompts of iteration {pilot.iteration} of {name}, {_model(pilot)}:"
    if not judges(stages):
        yield f"{what} the judge does not judge. A run would stop at judgments. What can be done:"
        yield from (f"- {way}" for way in ways_out(pilot))
    elif verdict == "fine":
        yield f"{what} every stage is fine."
    else:
        meant = [stage.asset for stage in stages if stage.verdict == verdict]
        yield f"{what} {', '.join(meant)}: {verdict}."
    (judgments,) = (stage for stage in stages if stage.asset == "judgments")
    if judges(stages) and any(held.worst == "harmful" and held.finding.name == "parse_rate" for held in judgments.held):
        yield "Whether enough judgments have a score is not certain of so few prompts: take more (--prompts)."
    pairs = [
        f"{middle:,.0f} {stage.asset} ({low:,.0f} to {high:,.0f})"
        for stage in stages
        if stage.expected
        for middle, low, high in [stage.expected]
    ]
    if pairs:
        yield f"Expected of its {pilot.of.recipe.row(pilot.iteration).prompts:,} prompts: {', '.join(pairs)}."


def _model(pilot: "Pilot") -> str:
    which = f"{pilot.model}, which the run has made" if pilot.model != "seed" else "the seed model as it is"
    return f"{which} ({pilot.folder})"


def roles_table(stages: "Sequence[StageVerdict]") -> "Table":
    """One row per role: how much it wrote, whether it can be read, how long it is, how fast it came."""
    from mr_assets.cli.terminal import Column, Table

    titles = ("of", "read", "cut off", "tokens", "95% up to", "tokens/s")
    table = Table(
        "what the model wrote (shares with their 95% interval)",
        [Column("role"), *(Column(title, number=True) for title in titles)],
    )
    for stage in stages:
        if "mean tokens" in stage.figures:
            names = ("mean tokens", "95% have at most so many tokens", "tokens per second")
            shares = [_share(stage.shares.get(name)) for name in ("parse_rate", "cut_off")]
            table.add(stage.asset, f"{stage.rows:,}", *shares, *(_number(stage.figures.get(name)) for name in names))
    return table


def verdicts_table(stages: "Sequence[StageVerdict]") -> "Table":
    """One row per stage: the verdict, what was found, and the fields to change."""
    from mr_assets.cli.terminal import Column, Table

    columns = [Column("stage"), Column("verdict"), Column("found", text=True), Column("change", text=True)]
    table = Table("what a run would meet", columns, styles=STYLES)
    for stage in stages:
        table.add(stage.asset, stage.verdict, "; ".join(_found(stage)) or "-", ", ".join(stage.change) or "-")
    return table


def _found(stage: "StageVerdict") -> Iterator[str]:
    """What else is known of a stage, part by part."""
    shares, figures = stage.shares, {name: _number(value) for name, value in stage.figures.items()}
    if stage.asset == "responses" and stage.rows:
        yield f"{figures['duplicates']} equal to another one, {figures['blank']} blank"
    if stage.asset == "judgments" and "parse_rate" in shares and shares["parse_rate"].share:
        counts = [(name.removeprefix("score "), n) for name, n in stage.figures.items() if _is_score(name)]
        if len(counts) >= MOST_SCORES:
            counts = sorted(counts, key=lambda each: -(each[1] or 0))[:MOST_SCORES]
        scores = ", ".join(f"{n} x {score}" for score, n in counts)
        yield f"mean score {figures['mean score']}: {scores}{', and others' * (len(counts) == MOST_SCORES)}"
        yield (
            f"scores spread by {figures['standard deviation within a response']} within a response, by "
            f"{figures['standard deviation between the responses to a prompt']} between those to a prompt"
        )
        if (ties := stage.figures["ties among the responses to a prompt"]) is not None:
            yield f"{_percent(ties)} of these tie"
        if "reliability of the mean score" in figures:
            ends = (figures[f"reliability of the mean score, at {end}"] for end in ("least", "most"))
            yield (
                f"reliability {figures['reliability of the mean score']} ({' to '.join(ends)}) of a response's mean "
                f"score, {figures['reliability of one score']} of one score"
            )
    if "pair_yield" in shares:
        yield f"{_share(shares['pair_yield'])} of {shares['pair_yield'].rows} give a pair"
    if "mean chosen characters" in figures and stage.rows:
        yield f"{figures['mean chosen characters']} characters chosen, {figures['mean rejected characters']} rejected"
    if "position_bias" in shares:
        yield (
            f"one position wins {_share(shares['position_bias'])} of {figures['decisive battles']} battles, the higher "
            f"score {_percent(stage.figures['higher score wins'])}"
        )
    if stage.asset == "dpo_dataset" and stage.rows:
        yield f"{figures['actor pairs']} actor pairs, {figures['judge pairs']} judge pairs"
    if stage.reasons:
        yield "without: " + ", ".join(f"{n:,} {reason}" for reason, n in stage.reasons.items())


def _is_score(name: str) -> bool:
    return name.startswith("score ") and name != "score entropy"


def _findings(stages: "Sequence[StageVerdict]") -> Iterator[str]:
    """What each check says that is not fine: what was expected, what came, and why."""
    for stage in stages:
        for held in stage.held:
            if held.verdict != "fine":
                yield f"- {stage.asset}, {held.finding.name} ({held.verdict}): {held.said}"


def _percent(share: float | int | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%" if share in (0, 1) else f"{100 * share:.3g}%"


def _share(found: "Interval | None") -> str:
    return "-" if found is None else f"{_percent(found.share)} ({100 * found.low:.0f}-{100 * found.high:.0f})"


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def pilot_as_json(pilot: "Pilot", stages: "Sequence[StageVerdict]") -> dict[str, Any]:
    """For programs: shares from 0 to 1 with both ends of their 95% interval, times in seconds."""
    from mr_assets.pilot.verdicts import judges, ways_out, worst

    return {
        "run": pilot.of.name,
        "prompts": pilot.prompts,
        "iteration": pilot.iteration,
        "model": {"name": pilot.model, "folder": str(pilot.folder)},
        "folder": str(pilot.run.folder),
        "verdict": worst(stages),
        "judges": judges(stages),
        "ways_out": [] if judges(stages) else list(ways_out(pilot)),
        "stages": [
            {
                "asset": stage.asset,
                "verdict": stage.verdict,
                "rows": stage.rows,
                "seconds": stage.seconds,
                "shares": {name: found._asdict() for name, found in stage.shares.items()},
                "figures": dict(stage.figures),
                "reasons": dict(stage.reasons),
                "expected_pairs": dict(zip(("mean", "low", "high"), stage.expected, strict=True))
                if stage.expected
                else None,
                "checks": [
                    {"name": held.finding.name, "verdict": held.verdict, "said": held.said, "change": held.change}
                    for held in stage.held
                ],
                "change": stage.change,
                "unparsed": [asdict(text) for text in stage.unparsed],
            }
            for stage in stages
        ],
    }
