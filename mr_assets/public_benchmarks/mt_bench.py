"""MT-Bench of the models of a run: their answers in two turns, a judge's ratings, the mean scores.

asked = prepare(run, ["seed", "0", "1"], questions, references, max_tokens, say)
found = finish(run, asked, client, ask(client, asked.requests, cache), about)
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mr_assets.evaluation.client import Answer, ChatRequest, Client
from mr_assets.evaluation.json_lines import write_lines
from mr_assets.evaluation.mt_bench import (
    Answers,
    Grading,
    Question,
    Turns,
    answer_rows,
    answered,
    gradings,
    judgment_row,
    ratings,
    requests,
    score,
)
from mr_assets.evaluation.results import Results, benchmark_folder, judge_folder
from mr_assets.ids import model_id
from mr_assets.method.conversations import Prompt
from mr_assets.public_benchmarks.local import Local, Say
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings

NAME = "mt_bench"


class Prepared(NamedTuple):
    """What the models answered, and what the judge is to be asked.

    models: by their names in the files, which have the run's name before them. references: by the id of a question.
    """

    questions: Sequence[Question]
    models: Mapping[str, Local]
    answers: Sequence[Answers]
    references: Mapping[int, Turns]
    max_tokens: int

    @property
    def gradings(self) -> list[Grading]:
        """Both turns of each model and question."""
        return gradings(self.questions, self.answers, self.references)

    @property
    def requests(self) -> list[ChatRequest]:
        """One for each grading."""
        return requests(self.gradings)


def prepare(
    run: Run,
    keys: Sequence[str],
    questions: Sequence[Question],
    references: Mapping[int, Turns],
    max_tokens: int,
    say: Say,
) -> Prepared:
    """Have the models answer both turns, each to a file of model_answer/; what is there is not sampled again.

    keys: of the models, "seed", "0", "1", ... The second question follows the model's own first answer, at the
    temperature of its category. One that is too long for a model, with what was said before, has an empty answer.
    """
    models, answers = {}, []
    for key in keys:
        local = Local(run, key, NAME, say)

        def answer(prompts: Sequence[Prompt], temperature: float, turn: int, local: Local = local) -> list[str]:
            settings = SamplingSettings(temperature=temperature, top_p=1.0, max_tokens=max_tokens)
            said = local.answers(prompts, settings, role=f"turn_{turn}_at_{temperature}")
            return [found[0] if found else "" for found in said]

        answers.append(Answers(f"{run.name}_{local.name}", answered(questions, answer)))
        models[answers[-1].model] = local
        file = benchmark_folder(run.folder, NAME) / "model_answer" / f"{answers[-1].model}.jsonl"
        write_lines(file, answer_rows(questions, answers[-1]))
    return Prepared(questions, models, answers, references, max_tokens)


def check(questions: Sequence[Question], references: Mapping[int, Turns]) -> None:
    """Raise `UserError` if a question needs a reference answer that is not there."""
    gradings(questions, (), references)


def planned(
    keys: Sequence[str], questions: Sequence[Question], references: Mapping[int, Turns], max_tokens: int
) -> list[ChatRequest]:
    """The judge's requests as they would be if every answer were as long as it may be; nothing is sampled."""
    longest = "word " * max_tokens
    models = [Answers(model_id(key), {q.id: (longest, longest) for q in questions}) for key in keys]
    return requests(gradings(questions, models, references))


def finish(run: Run, asked: Prepared, client: Client, said: Mapping[str, Answer], about: Mapping[str, Any]) -> Results:
    """Write what the judge said to model_judgment/JUDGE_single.jsonl, and the figures as the benchmark's results."""
    rows = [judgment_row(grading, client.model, said) for grading in asked.gradings]
    folder = benchmark_folder(run.folder, NAME) / "model_judgment"
    write_lines(folder / f"{judge_folder(client.model)}_single.jsonl", rows)
    found = [
        {
            "model": asked.models[each.model].name,
            **each.numbers,
            "ratings": each.ratings,
            "without_rating": each.without,
            **each.judgments_without,
        }
        for each in score(ratings(rows, asked.questions))
    ]
    noted = {
        "endpoint": client.url,
        "questions": len(asked.questions),
        "max_tokens": asked.max_tokens,
        "judge_parameters": dict(client.parameters),
        "models": {local.name: local.model.fingerprint for local in asked.models.values()},
        **about,
    }
    results = Results(NAME, client.model, found, noted)
    results.write(run.folder)
    return results
