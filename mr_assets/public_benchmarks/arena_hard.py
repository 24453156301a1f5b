"""Arena-Hard of the models of a run: their answers, a judge's verdicts against a baseline, the share of battles won.

    asked = prepare(run, ["seed", "0", "1"], questions, baselines, sampling, say)
    found = finish(run, asked, client, ask(client, asked.requests, cache), about)

The baseline is the run's seed model, whose answers need no file; or those of files, such as the official baseline's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mr_assets.errors import UserError
from mr_assets.evaluation.arena_hard import (
    Answers,
    Match,
    Question,
    Score,
    answer_rows,
    bench_name,
    judgment_row,
    matches,
    requests,
    score,
    verdicts,
)
from mr_assets.evaluation.client import Answer, ChatRequest, Client
from mr_assets.evaluation.json_lines import write_lines
from mr_assets.evaluation.results import Results, benchmark_folder, judge_folder
from mr_assets.ids import model_id
from mr_assets.public_benchmarks.local import Local, Say
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings

SEED = "seed"


class Prepared(NamedTuple):
    """What the models answered, and what the judge is to be asked.

    models: by their names in the files, which have the run's name before them; baselines: whose answers theirs are
    compared with.
    """

    questions: Sequence[Question]
    models: Mapping[str, Local]
    answers: Sequence[Answers]
    baselines: Sequence[Answers]
    sampling: SamplingSettings

    @property
    def matches(self) -> list[Match]:
        """Of each model, question by question."""
        return matches(self.questions, self.answers, self.baselines)

    @property
    def requests(self) -> list[ChatRequest]:
        """Two for each match."""
        return requests(self.matches)

    def name(self, model: str) -> str:
        """Of a model of the files, as the run calls it."""
        return self.models[model].name if model in self.models else model


def prepare(
    run: Run,
    keys: Sequence[str],
    questions: Sequence[Question],
    baselines: Sequence[Answers],
    sampling: SamplingSettings,
    say: Say,
) -> Prepared:
    """Have the models answer the questions, each to a file of model_answer/; what is there is not sampled again.

    keys: of the models, "seed", "0", "1", ... baselines: none for the run's seed model. A question that is too long for
    a model has an empty answer.
    """
    bench = bench_name(questions)
    models, answers = {}, []
    for key in keys if baselines else dict.fromkeys([SEED, *keys]):
        local = Local(run, key, bench, say)
        said = local.answers([q.prompt for q in questions], sampling)
        texts = {q.uid: found[0] if found else "" for q, found in zip(questions, said, strict=True)}
        answers.append(Answers(f"{run.name}_{local.name}", texts))
        models[answers[-1].model] = local
        file = benchmark_folder(run.folder, bench) / "model_answer" / f"{answers[-1].model}.jsonl"
        write_lines(file, answer_rows(questions, answers[-1]))
    return Prepared(questions, models, answers, baselines or answers[:1], sampling)


def check(keys: Sequence[str], questions: Sequence[Question], baselines: Sequence[Answers]) -> None:
    """Raise `UserError` if there is nothing to compare, or no baseline's answer to a question."""
    if not baselines and {*keys} <= {SEED}:
        raise UserError(
            "the seed model alone has nothing to be compared with. Make M0 first (`mr run`), or name the answers of "
            "another model: --baseline FILE."
        )
    if baselines:
        matches(questions, [Answers("", {q.uid: "" for q in questions})], baselines)


def planned(
    keys: Sequence[str], questions: Sequence[Question], baselines: Sequence[Answers], sampling: SamplingSettings
) -> list[ChatRequest]:
    """The judge's requests as they would be if every answer were as long as it may be; nothing is sampled."""
    longest = {q.uid: "word " * sampling.max_tokens for q in questions}
    models = [Answers(model_id(key), longest) for key in keys]
    return requests(matches(questions, models, baselines or [Answers(SEED, longest)]))


def finish(
    run: Run, asked: Prepared, client: Client, said: Mapping[str, Answer], about: Mapping[str, Any]
) -> list[Results]:
    """Write what the judge said to files of model_judgment/, and the figures as results, one of each category."""
    bench = bench_name(asked.questions)
    rows = [judgment_row(match, client.model, said) for match in asked.matches]
    folder = benchmark_folder(run.folder, bench) / "model_judgment" / judge_folder(client.model)
    for model in dict.fromkeys(row["model"] for row in rows):
        write_lines(folder / f"{model}.jsonl", (row for row in rows if row["model"] == model))
    scores = score(verdicts(rows), [*asked.answers, *asked.baselines])
    found = []
    for category in dict.fromkeys(each.category for each in scores):
        of = [each for each in scores if each.category == category]
        noted = {
            "endpoint": client.url,
            "baseline": asked.name(of[0].baseline),
            "questions": sum(q.category == category for q in asked.questions),
            "sampling": asked.sampling.model_dump(),
            "judge_parameters": dict(client.parameters),
            "models": {local.name: local.model.fingerprint for local in asked.models.values()},
            **about,
        }
        name = bench if category == bench else f"{bench}_{category}"
        found.append(Results(name, client.model, [_row(asked, each) for each in of], noted))
        found[-1].write(run.folder)
    return found


def _row(asked: Prepared, found: Score) -> dict[str, Any]:
    counts = {"questions": found.questions, "without_verdict": found.without}
    return {"model": asked.name(found.model), **found.numbers, **counts, **found.games_without}
