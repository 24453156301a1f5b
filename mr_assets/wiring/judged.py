"""What the evaluation assets share: completions and scores in the order of what was asked, for a list of questions.

    model = work.policy = model_of(work)
    encode = encoder(work)
    scores_of(work, encode, [("Who wrote Hamlet?", "Shakespeare.")], n=3)     [[4.0, 5.0, None]]
    winners_of(work, encode, template, [{"prompt": "Who ...", ...}], section, role="meta")    [["first"]]

What is too long for the engine's context has an empty list. All of it is sharded: a killed run finds it again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.ids import response_of
from mr_assets.method.asked_lines import check_score_line
from mr_assets.method.judgments import judgments
from mr_assets.method.meta_judgments import with_winners
from mr_assets.recipes.recipe import MetaJudgments
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.templates import Template
from mr_assets.wiring.asked_lines import Asking, asking, with_scores_asked, with_winners_asked
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.sampling import sample

Complete = Callable[[Iterable[Request], int, SamplingSettings, int, str], pl.LazyFrame]
"""Has requests completed: how many there are, the settings, completions of each, the role that they are known by."""


def completions(
    work: Materialization,
    encode: ChatEncoder,
    role: str,
    prompts: Sequence[list[int]],
    settings: SamplingSettings,
    n: int,
) -> pl.LazyFrame:
    """`n` completions of each prompt, by its place: request_id, sample, text, finish_reason, token_ids.

    role: what the shards are known by; two lists of one asset differ in it or in their prompts.
    """
    requests = [Request(str(i), prompt, n) for i, prompt in enumerate(prompts)]
    return sample(work, encode, requests, len(requests), settings, n=n, role=role).completions


def listed(rows: pl.LazyFrame, key: str, column: str, count: int) -> list[list[Any]]:
    """The values of a column by place (`key`: "0", "1", ...), in order; none for a place without rows."""
    found = dict(rows.group_by(key, maintain_order=True).agg(column).collect().iter_rows())
    return [found.get(str(place), []) for place in range(count)]


def scores_of(
    work: Materialization,
    encode: ChatEncoder,
    answers: Sequence[tuple[str, str]],
    *,
    n: int,
    role: str = "judge",
) -> list[list[float | None]]:
    """The scores of `n` judgments of each (prompt, response) by the model under way; None for an invalid one.

    By the recipe's judge prompt and section `judgments`, the score's line asked for again where it says so.
    """

    def complete(
        requests: Iterable[Request], total: int, settings: SamplingSettings, n: int, role: str
    ) -> pl.LazyFrame:
        return sample(work, encode, requests, total, settings, n=n, role=role).completions

    return scores_by(complete, encode, work.run, answers, n=n, role=role)


def scores_by(
    complete: Complete, encode: ChatEncoder, run: Run, answers: Sequence[tuple[str, str]], *, n: int, role: str
) -> list[list[float | None]]:
    """The same by whatever completes requests."""
    section, template = run.recipe.judgments, judge_prompts(run.recipe, run.data).judge
    check_score_line(section.scoring, section.score_line, encode.text_ids)
    prompts = [encode.template_ids(template, {"prompt": p, "response": r}) for p, r in answers]
    requests = (Request(str(i), prompt, n) for i, prompt in enumerate(prompts))
    judged = judgments(complete(requests, len(prompts), section, n, role), section.scoring)
    if section.score_line != "sampled":
        by = Asking(
            encode,
            lambda id: prompts[int(response_of(id))],
            lambda asked, count, settings, role: complete(asked, count, settings, 1, role),
        )
        judged = with_scores_asked(judged.collect(), section, by).lazy()
    return listed(judged, "response_id", "score", len(answers))


def winners_of(
    work: Materialization,
    encode: ChatEncoder,
    template: Template,
    shown: Sequence[Mapping[str, str]],
    section: MetaJudgments,
    *,
    role: str,
) -> list[list[str | None]]:
    """Which of two texts wins, by one completion of the template filled with each of `shown`.

    "first", "second", or None where none is named; the verdict's line asked for again where the section says so.
    section: how it is sampled, and how the template asks for the winner.
    """
    prompts = [encode.template_ids(template, values) for values in shown]
    named = {"request_id": "meta_judgment_id", "text": "meta_judgment"}
    fought = completions(work, encode, role, prompts, section, 1).rename(named)
    decided = with_winners(fought, section.verdicts).with_columns(copied_from=pl.lit(None, pl.String))
    if section.winner_line != "sampled":
        by = asking(work, encode, lambda id: prompts[int(id)])
        decided = with_winners_asked(decided.collect(), section, by).lazy()
    return listed(decided, "meta_judgment_id", "winner", len(shown))
