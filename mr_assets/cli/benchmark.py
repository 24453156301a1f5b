"""`mr benchmark`: public benchmarks of the models of a run, by a judge behind an endpoint, never beyond a budget."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mr_assets.cli.run import stoppable
from mr_assets.cli.terminal import say, say_json

if TYPE_CHECKING:
    from mr_assets.evaluation.client import Answer, AskProgress, ChatRequest
    from mr_assets.evaluation.results import Results
    from mr_assets.runs.run import Run

Command = TypeVar("Command", bound=Callable[..., Any])
HOW_TO_NAME_ONE = "Name one: --endpoint URL --judge MODEL, or the environment variables MR_ENDPOINT and MR_JUDGE."


@click.group()
def benchmark() -> None:
    """Compare the models of a run by a judge that the loop did not train, behind an OpenAI-compatible endpoint.

    The models answer on this machine; the judge compares. Before the first request stands what it costs at most. Every
    answer of the judge is kept by its content: nothing is paid for twice, and after a stop the same command goes on.
    Figures of different judges cannot be compared: what stands side by side is the seed model, M0, M1, ... under one.
    """


def of_the_judge(command: Command) -> Command:
    """The options of every benchmark: the judge, the models, the money. See `Asked`."""
    options = (
        click.option("--endpoint", envvar="MR_ENDPOINT", metavar="URL", help="The judge's server, with /v1."),
        click.option("--judge", envvar="MR_JUDGE", metavar="MODEL", help="The judge's name there."),
        click.option("--models", metavar="KEYS", help="seed,0,4: these models. Default: all that are there."),
        click.option(
            "--price",
            nargs=2,
            type=click.FloatRange(min=0),
            metavar="IN OUT",
            help="USD for a million tokens of prompts, and of answers.",
        ),
        click.option("--budget", type=click.FloatRange(min=0), metavar="USD", help="Most that this call may cost."),
        click.option("--yes", is_flag=True, help="Do not ask before the first request."),
        click.option("--dry-run", is_flag=True, help="Say what would be asked, and end."),
        click.option(
            "--key-variable",
            default="OPENAI_API_KEY",
            show_default=True,
            metavar="NAME",
            help="The environment variable with the key.",
        ),
        click.option(
            "--concurrency", type=click.IntRange(1, 256), default=8, show_default=True, help="Requests at a time."
        ),
        click.option(
            "--timeout", type=click.FloatRange(min=1), default=120.0, show_default=True, help="Seconds for one answer."
        ),
        click.option(
            "--parameter",
            "parameters",
            multiple=True,
            metavar="NAME=JSON",
            help="A parameter of every request, in place of the benchmark's; null takes it out. Repeatable.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The results as JSON, for programs."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def of_the_answers(temperature: float | None) -> Callable[[Command], Command]:
    """The options of the models' answers. temperature: the tool's, unless the benchmark has one for each question."""
    length = click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Of an answer. Default: the recipe's, of responses.",
    )
    warmth = click.option(
        "--temperature",
        type=click.FloatRange(0, 2),
        default=temperature,
        show_default=True,
        help="Of the models' answers.",
    )
    return length if temperature is None else lambda command: warmth(length(command))


class Asked:
    """What a person asked for with the options of `of_the_judge`, checked before anything is done.

    client: None where no endpoint is named. keys: of the models, "seed", "0", ...
    """

    def __init__(self, name: str, said: dict[str, Any]) -> None:
        from mr_assets.errors import UserError
        from mr_assets.evaluation.client import Client
        from mr_assets.evaluation.costs import Prices
        from mr_assets.public_benchmarks.local import model_at, models_there
        from mr_assets.runs.data_folder import data_root
        from mr_assets.runs.stored import named_runs

        self.run: Run = named_runs(data_root(), name)[name]
        self.yes, self.dry_run, self.as_json = said["yes"], said["dry_run"], said["as_json"]
        self.keys = said["models"].split(",") if said["models"] else models_there(self.run)
        for key in self.keys:
            model_at(self.run, key)
        self.client: Client | None = None
        if (said["endpoint"] is None) != (said["judge"] is None):
            raise UserError("--endpoint and --judge belong together: the address, and the model's name there.")
        if said["endpoint"]:
            self.client = Client(
                said["endpoint"],
                said["judge"],
                said["key_variable"],
                said["concurrency"],
                said["timeout"],
                Prices(*said["price"]) if said["price"] else None,
                said["budget"],
                dict(_parameter(each) for each in said["parameters"]),
            )
            self.client.check()

    @property
    def cache(self) -> Path:
        """Where the answers of judges are kept, of all runs: on this host, and in the object store, if there is one."""
        return self.run.data / ".judge_answers"

    def answers(
        self,
        benchmark: str,
        requests: "Sequence[ChatRequest]",
        check: "Callable[[ChatRequest, Answer], None]" = lambda request, answer: None,
    ) -> "dict[str, Answer] | None":
        """The judge's answers, once the person agrees to what they cost at most; None without an endpoint, or in a dry
        run.

        Raises `UserError` as `ask` does, and where a person would be asked and there is none.
        """
        from mr_assets.errors import UserError
        from mr_assets.evaluation.client import ask, estimate
        from mr_assets.runs.object_store import kept

        if self.client is None:
            say(f"{benchmark}: the judge's part is skipped, no endpoint is named. {HOW_TO_NAME_ONE}", err=True)
            return None
        with kept(self.cache, "??/*.json") as keep:
            found = estimate(self.client, requests, self.cache)
            say(f"{benchmark} by {self.client.model} at {self.client.url}: {found.said}", err=True)
            found.check(self.client.budget)
            if self.dry_run:
                return None
            if found.to_ask and not self.yes and self.client.budget is None:
                if not sys.stdin.isatty():
                    raise UserError("nobody is there to agree. Give --yes, or --price IN OUT and --budget USD.")
                click.confirm("Ask?", abort=True, err=True)

            def on_progress(progress: "AskProgress") -> None:
                say(f"{benchmark}: {progress.said}", err=True)
                keep()

            return ask(self.client, requests, self.cache, check=check, on_progress=on_progress)

    def show(self, results: "Results", figures: dict[str, str]) -> None:
        """Print results: a row for each model, the judge's name above. figures: their names and how each is shown."""
        from mr_assets.cli.terminal import Column, Table, show

        if self.as_json:
            say_json(results.as_json)
            return
        columns = [Column("model"), *(Column(name.replace("_", " "), number=True) for name in figures)]
        table = Table(f"{results.benchmark} of {self.run.name}, judged by {results.judge}", columns)
        for row in results.rows:
            table.add(row["model"], *(_figure(row, name, form) for name, form in figures.items()))
        counts = [(f"{row['model']}: answers", row) for row in results.rows]
        counts.append(("Answers", results.about.get("answers_without", {})))
        show(
            table,
            *without_verdict(counts),
            "Figures of another judge, or of another date of this one, cannot stand beside these.",
        )


def without_verdict(counts: Iterable[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Lines on the judge's answers without a verdict, and what to do; none where all have one.

    counts: whose answers, as a sentence begins, and how many there are by the reason.
    """
    from mr_assets.evaluation.unread import told

    known = [(whose, said, each) for whose, each in counts if (said := told(each))]
    lines = [f"{whose} of the judge without a verdict: {said}." for whose, said, _ in known]
    if any(each.get("cut_off") for *_, each in known):
        lines.append("Those that are cut off may need more tokens: --parameter max_tokens=N.")
    return lines


@contextmanager
def at_work(asked: Asked) -> Iterator[None]:
    """Hold the run's benchmarks for this process, end the engine afterwards, and let Ctrl-C say that it goes on.

    An object store has what is in their folder before and afterwards.
    """
    from mr_assets.evaluation.results import FOLDER
    from mr_assets.orchestration.lock import run_lock
    from mr_assets.runs.object_store import kept
    from mr_assets.sampling.live import close_engine

    folder, what = asked.run.folder / FOLDER, f"the benchmarks of {asked.run.name}"
    with stoppable(), run_lock(folder, what, wait=False), kept(folder, "*/**/*.json*"):
        try:
            yield
        finally:
            close_engine()


def now() -> str:
    """The time, for results."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _figure(row: dict[str, Any], name: str, form: str) -> str:
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if value is None:
        return "-"
    between = "" if low is None or high is None else f" ({form.format(low)} to {form.format(high)})"
    return f"{form.format(value)}{between}"


def _parameter(said: str) -> tuple[str, Any]:
    from mr_assets.errors import UserError

    name, equals, value = said.partition("=")
    try:
        if name and equals:
            return name, json.loads(value)
    except ValueError:
        pass
    raise UserError(f"--parameter {said}: expected NAME=JSON, such as top_logprobs=20 or max_tokens=null.")


@benchmark.command("alpaca_eval")
@click.argument("name", metavar="RUN")
@click.option(
    "--instructions",
    required=True,
    metavar="FILE",
    help="Instructions with the reference's outputs: alpaca_eval_gpt4_baseline.json, or any file of its layout.",
)
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N instructions.")
@of_the_answers(temperature=0.7)
@of_the_judge
def alpaca_eval(
    name: str, instructions: str, first: int | None, temperature: float, max_tokens: int | None, **said: Any
) -> None:
    """AlpacaEval 2: win rate and length-controlled win rate of RUN's models against a reference, and their lengths.

    The judge is asked with the official prompt (weighted_alpaca_eval_gpt4_turbo), one token with its probabilities: the
    endpoint must give log-probabilities. All files are in the official tool's layout, in RUN's folder
    benchmarks/alpaca_eval. Without an endpoint the models answer, and the judge's part is skipped.

    \b
    mr benchmark alpaca_eval my_run --instructions alpaca_eval_gpt4_baseline.json \\
        --endpoint https://api.example.org/v1 --judge gpt-4o --price 2.5 10 --budget 20
    """
    from mr_assets.evaluation.alpaca_judge import check_log_probabilities, read_outputs
    from mr_assets.public_benchmarks.alpaca_eval import NAME, finish, planned, prepare
    from mr_assets.sampling.settings import SamplingSettings
    from mr_assets.text_files import given_path

    reference = read_outputs(given_path(instructions, "--instructions"), "--instructions")[:first]
    asked = Asked(name, said)
    tokens = max_tokens or asked.run.recipe.responses.max_tokens
    sampling = SamplingSettings(temperature=temperature, top_p=1.0, max_tokens=tokens)
    if asked.dry_run:
        asked.answers(NAME, planned(asked.keys, reference, sampling))
        return
    with at_work(asked):
        prepared = prepare(asked.run, asked.keys, reference, sampling, lambda line: say(line, err=True))
        answers = asked.answers(NAME, prepared.requests, check_log_probabilities)
        if answers is None:
            return
        assert asked.client is not None
        results = finish(asked.run, prepared, asked.client, answers, {"made": now()})
    asked.show(results, {"win_rate": "{:.1f}", "length_controlled": "{:.1f}", "characters": "{:,.0f}"})


@benchmark.command("judge_agreement")
@click.argument("name", metavar="RUN")
@click.option(
    "--prompts",
    metavar="FILE",
    help="Prompts that nothing is trained on, as prompts.source names a file. Default: the recipe's held-out prompts.",
)
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts.")
@click.option(
    "--responses", type=click.IntRange(min=2), default=7, show_default=True, help="The seed model's, per prompt."
)
@of_the_judge
def judge_agreement(name: str, prompts: str | None, first: int | None, responses: int, **said: Any) -> None:
    """How often the judge of each model of RUN agrees with a strong judge (Table 3 of the paper).

    The seed model responds to prompts that nothing is trained on; each model's judge scores the responses. The strong
    judge sees pairs in both orders. strong chosen: two responses per prompt, kept where it prefers the same one twice.
    self chosen: those that the model's judge scored highest and lowest. Agreement counts ties as 0.5.

    \b
    mr benchmark judge_agreement my_run --endpoint https://api.example.org/v1 --judge gpt-4o --price 2.5 10 --budget 20
    """
    from mr_assets.errors import UserError
    from mr_assets.method.strong_judge import FIGURES
    from mr_assets.public_benchmarks.judge_agreement import NAME, finish, held_out, planned, prepare

    asked = Asked(name, said)
    given = held_out(asked.run, prompts)[:first]
    if asked.client is None:
        raise UserError(f"{NAME} is skipped: it needs an endpoint. {HOW_TO_NAME_ONE}")
    if asked.dry_run:
        asked.answers(NAME, planned(asked.run, asked.keys, given))
        return
    with at_work(asked):
        prepared = prepare(asked.run, asked.keys, given, responses, lambda line: say(line, err=True))
        answers = asked.answers(NAME, prepared.requests)
        assert answers is not None, "there is an endpoint"
        results = finish(asked.run, prepared, asked.client, answers, {"made": now()})
    asked.show(results, dict.fromkeys(FIGURES, "{:.1f}"))
