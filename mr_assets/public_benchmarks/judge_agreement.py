"""How often the judge of each model agrees with a strong judge behind an endpoint (Table 3; `method/strong_judge.py`).

    asked = prepare(run, ["seed", "0", "1"], prompts, k=7, say=say)
    found = finish(run, asked, client, ask(client, asked.requests, cache), about)

The responses are the seed model's, the same for every judge. All are judged as in the loop: N judgments, their mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.evaluation.alpaca_judge import FIRST, PARAMETERS, SECOND, compared, first_wins
from mr_assets.evaluation.client import Answer, ChatRequest, Client
from mr_assets.evaluation.json_lines import write_lines
from mr_assets.evaluation.results import Results
from mr_assets.evaluation.unread import count_of_names
from mr_assets.inputs.held_out_prompts import held_out_prompts
from mr_assets.inputs.prompt_sources import read_prompts
from mr_assets.method.agreement import mean_score
from mr_assets.method.conversations import Prompt, as_text, with_turns
from mr_assets.method.conversations import asked as asked_of
from mr_assets.method.prompts import check_prompts
from mr_assets.method.strong_judge import (
    SELF_CHOSEN,
    STRONG_CHOSEN,
    Mean,
    Pair,
    agreement_numbers,
    agreements,
    first_two,
    highest_and_lowest,
    in_both_orders,
)
from mr_assets.public_benchmarks.local import Local, Say
from mr_assets.runs.run import Run

NAME = "judge_agreement"


@dataclass(frozen=True)
class Prepared:
    """What the strong judge is to be asked.

    prompts: as texts; responses: of each prompt, the seed model's. means: by model, of each response of each prompt.
    strong: the pairs that the strong judge chooses of; own: by model, those that its judge chose, or a prompt's number.
    fingerprints: of the models' content.
    """

    prompts: list[str]
    responses: list[list[str]]
    means: dict[str, list[list[Mean]]]
    strong: list[Pair]
    own: dict[str, list[Pair | int]]
    fingerprints: dict[str, str]

    @property
    def requests(self) -> list[ChatRequest]:
        """Both orders of every pair; the same pair of two models is one question."""
        pairs = {*self.strong, *(pair for own in self.own.values() for pair in own if isinstance(pair, Pair))}
        return [self._request(pair, turned) for pair in sorted(pairs) for turned in (False, True)]

    def _request(self, pair: Pair, turned: bool) -> ChatRequest:
        texts = [self.responses[pair.prompt][place] for place in (pair.first, pair.second)]
        return compared(_id(pair, turned), self.prompts[pair.prompt], *(texts[::-1] if turned else texts))


def prepare(run: Run, keys: Sequence[str], prompts: Sequence[Prompt], k: int, say: Say) -> Prepared:
    """Have the seed model give `k` responses to each prompt, and the judge of each model score them.

    They are sampled as the recipe samples responses. Prompts that are too long for the engine's context are left out.
    """
    sampled = Local(run, "seed", NAME, say).answers(prompts, run.recipe.responses, n=k, role="responses")
    texts = [as_text(prompt) for prompt, each in zip(prompts, sampled, strict=True) if each]
    responses = [each for each in sampled if each]
    places = [(prompt, place) for prompt, each in enumerate(responses) for place in range(len(each))]
    judged = [(texts[prompt], responses[prompt][place]) for prompt, place in places]
    means, fingerprints = {}, {}
    for key in keys:
        local = Local(run, key, NAME, say)
        found: list[list[Mean]] = [[] for _ in texts]
        for (prompt, _), scores in zip(places, local.scores(judged, role="scores"), strict=True):
            found[prompt].append(mean_score(scores))
        means[local.name], fingerprints[local.name] = found, local.model.fingerprint
    own = {name: highest_and_lowest(responses, each) for name, each in means.items()}
    return Prepared(texts, responses, means, first_two(responses), own, fingerprints)


def held_out(run: Run, file: str | None) -> list[Prompt]:
    """The prompts of a file, else those that the recipe holds out. Raises `UserError` if there are none."""
    recipe = run.recipe
    if file is not None:
        found = with_turns(read_prompts(file, recipe.prompts.column, run.data))
        return asked_of(check_prompts(found, f"--prompts = {file}"))
    if recipe.held_out is None:
        raise UserError(
            f"run {run.name} holds no prompts out. Name a file of prompts that nothing is trained on (--prompts), or "
            "set held_out in the recipe."
        )
    ranked = None
    if "ranked_replies" in run.loop:
        ranked = pl.read_parquet(run.path("ranked_replies"))
    return asked_of(held_out_prompts(recipe, run.data, ranked))


def planned(run: Run, keys: Sequence[str], prompts: Sequence[Prompt]) -> list[ChatRequest]:
    """The strong judge's requests at most: both orders of a pair for each prompt, and of another one for each model."""
    longest = "word " * run.recipe.responses.max_tokens
    return [
        compared(f"{i} {pair} {order}", as_text(prompt), f"{pair} {longest}", f"{order} {longest}")
        for i, prompt in enumerate(prompts)
        for pair in ("strong", *keys)
        for order in ("one", "other")
    ]


def finish(
    run: Run, asked: Prepared, client: Client, answers: Mapping[str, Answer], about: Mapping[str, Any]
) -> Results:
    """Write the agreement of each model's judge, and beside it the pairs kept: prompt, chosen, rejected.

    answers_without: the strong judge's answers that name neither response, by the reason (`unread`).
    """

    def decided(pair: Pair) -> bool | None:
        return in_both_orders(_prefers_first(answers, pair, turned=False), _prefers_first(answers, pair, turned=True))

    kept = [
        Pair(pair.prompt, pair.first, pair.second) if first else Pair(pair.prompt, pair.second, pair.first)
        for pair in asked.strong
        if (first := decided(pair)) is not None
    ]
    rows = []
    for name, means in asked.means.items():
        strong = agreements([(means[pair.prompt][pair.first], means[pair.prompt][pair.second]) for pair in kept])
        own = [_own(pair, decided) for pair in asked.own[name]]
        numbers = agreement_numbers(STRONG_CHOSEN, strong) | agreement_numbers(SELF_CHOSEN, own)
        rows.append({"model": name, **numbers})
    chosen = [
        {
            "prompt": asked.prompts[pair.prompt],
            "chosen": asked.responses[pair.prompt][pair.first],
            "rejected": asked.responses[pair.prompt][pair.second],
        }
        for pair in kept
    ]
    noted = {
        "endpoint": client.url,
        "prompts": len(asked.prompts),
        "pairs_asked": len(asked.strong),
        "pairs_dropped": len(asked.strong) - len(kept),
        "answers_without": count_of_names(each for each in answers.values() if _named(each) is None),
        "judge_parameters": {**PARAMETERS, **client.parameters},
        "models": asked.fingerprints,
        **about,
    }
    results = Results(NAME, client.model, rows, noted)
    write_lines(results.write(run.folder).with_name("strong_chosen_pairs.jsonl"), chosen)
    return results


def _own(pair: Pair | int, decided: Callable[[Pair], bool | None]) -> float:
    """1 where the strong judge agrees with the model's on its highest and lowest, 0 where not, 0.5 of a tie."""
    first = decided(pair) if isinstance(pair, Pair) else None
    return 0.5 if first is None else float(first)


def _prefers_first(answers: Mapping[str, Answer], pair: Pair, *, turned: bool) -> bool | None:
    """Whether the pair's first response was preferred in one order."""
    shown_first = _named(answers[_id(pair, turned)])
    return None if shown_first is None or shown_first == 0.5 else (shown_first > 0.5) is not turned


def _named(answer: Answer) -> float | None:
    """How far the response that is shown first is named, by the probabilities, else by the name; None: neither is."""
    shown_first, name = first_wins(answer), (answer.text or "").strip()
    if shown_first is None and answer.top_logprobs is None and name in (FIRST, SECOND):
        return float(name == FIRST)
    return shown_first


def _id(pair: Pair, turned: bool) -> str:
    return f"{pair.prompt}.{pair.first}.{pair.second}{' turned' * turned}"
