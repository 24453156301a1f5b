"""Scores and winners of a list of questions, in its order."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import ChoiceSettings, SamplingSettings
from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.wiring.judged import completions, listed, scores_by, scores_of, winners_of
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.models import model_of
from mr_assets.wiring.sampling import encoder
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.method.tables import COMPLETIONS
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.wiring.conftest import work

LONG = "b " * 600  # with a context of 512 tokens
ANSWERS = [("Write b c again.", "It is b c."), ("Write b c again.", LONG), ("Write d f again.", "I like bread.")]
SAID = {"It is b c.": "Score: 5", "I like bread.": "I do not know.", "A": "Winner: Judgement A", "B": "Who knows."}
ASKED_AGAIN = ("judgments.score_line=asked_again", "meta_judgments.winner_line=asked_again")


class LastOne(Random):
    """Chance that always chooses the last."""

    def choice(self, seq: Any) -> Any:
        return seq[-1]


class Judge(WorldSampler):
    """An engine that judges a response, or names a winner by the first of two texts, as `SAID` has it.

    A line that it is asked for again gets the last of the choices.
    """

    def say(self, message: str) -> str:
        if compared := meta_judge_template().unfill(message):
            return SAID[compared["judgment_a"]]
        judged = judge_template().unfill(message)
        return SAID[judged["response"]] if judged else f"You say: {message}"

    def reseed(self, seed: int) -> None:
        self.random = LastOne()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.wiring.sampling.open_engine", lambda folder, policy, *_, **__: Judge(folder, policy))


def seed_asked(run: Run) -> tuple[Materialization, ChatEncoder]:
    """The evaluation of the seed model under way, and its encoder."""
    under_way = work(run, "evaluation", "seed")
    under_way.policy = model_of(under_way)
    return under_way, encoder(under_way)


def test_values_are_listed_by_their_places() -> None:
    """The order of the rows of one place stays; a place without rows has none."""
    rows = pl.LazyFrame({"id": ["2", "0", "2", "10"], "score": [5.0, None, 3.0, 1.0]})
    assert listed(rows, "id", "score", 4) == [[None], [], [5, 3], []]
    assert listed(rows, "id", "score", 0) == []


def test_completions_are_known_by_their_places(run: Run, engine: None) -> None:
    """What is too long for the engine has none."""
    under_way, encode = seed_asked(run)
    prompts = [encode.prompt_ids(text) for text in ("Write b.", LONG, "Write c.")]
    found = completions(under_way, encode, "actor", prompts, run.recipe.responses, 2).collect()
    assert found.select("request_id", "sample", "text").rows() == [
        ("0", 0, "You say: Write b."),
        ("0", 1, "You say: Write b."),
        ("2", 0, "You say: Write c."),
        ("2", 1, "You say: Write c."),
    ]


def test_scores_are_in_the_order_of_the_answers(run: Run, engine: None) -> None:
    """None where a judgment gives no score, and no score at all where the question was too long."""
    assert scores_of(*seed_asked(run), ANSWERS, n=2) == [[5, 5], [], [None, None]]


def test_a_score_is_asked_for_again_where_the_recipe_says_so(tmp_path: Path, engine: None) -> None:
    """The last number of the scale is 5; what has a score keeps it."""
    assert scores_of(*seed_asked(tiny_run(tmp_path, *ASKED_AGAIN)), ANSWERS, n=1) == [[5], [], [5]]


def test_winners_are_in_the_order_of_what_was_shown(tmp_path: Path, run: Run, engine: None) -> None:
    """Asked for again where the section says so: the last choice names the second."""
    shown = [
        {"prompt": "Write b.", "response": response, "judgment_a": first, "judgment_b": "C"}
        for response, first in (("b", "A"), (LONG, "A"), ("b", "B"))
    ]

    def winners(asked: Run) -> list[list[str | None]]:
        under_way, encode = seed_asked(asked)
        return winners_of(under_way, encode, meta_judge_template(), shown, asked.recipe.meta_judgments, role="meta")

    assert winners(run) == [["first"], [], [None]]
    assert winners(tiny_run(tmp_path, *ASKED_AGAIN)) == [["first"], [], ["second"]]


def test_scores_by_whatever_completes_requests(tmp_path: Path, engine: None) -> None:
    """It is told how many requests there are, the section, how many completions each wants, and the role.

    A line that is asked for again is one completion of the same prompt with what was said, and a role of its own.
    """
    run = tiny_run(tmp_path, *ASKED_AGAIN)
    _, encode = seed_asked(run)
    known: list[tuple[list[Request], int, SamplingSettings, int, str]] = []

    def complete(asked: Iterable[Request], total: int, settings: SamplingSettings, n: int, role: str) -> pl.LazyFrame:
        requests = list(asked)
        known.append((requests, total, settings, n, role))
        said = ("Score: 1", "Hm.") if not isinstance(settings, ChoiceSettings) else (" 3",)
        rows = [(r.id, k, text, "stop", encode.completion_ids(text)) for r in requests for k, text in enumerate(said)]
        return pl.LazyFrame(rows, schema=COMPLETIONS, orient="row")

    assert scores_by(complete, encode, run, ANSWERS[::2], n=2, role="probe") == [[1, 3], [1, 3]]
    (first, *told), (again, *line) = known
    prompts = [
        encode.template_ids(judge_template(), {"prompt": prompt, "response": response})
        for prompt, response in ANSWERS[::2]
    ]
    assert [(request.id, request.prompt_ids, request.n) for request in first] == [
        ("0", prompts[0], 2),
        ("1", prompts[1], 2),
    ]
    assert told == [2, run.recipe.judgments, 2, "probe"]
    behind = encode.text_ids("Hm.") + encode.text_ids("\nScore:")
    assert [(request.id, request.prompt_ids) for request in again] == [
        ("0.j1", prompts[0] + behind),
        ("1.j1", prompts[1] + behind),
    ]
    assert (line[0], line[2], line[3]) == (2, 1, "asked again")


def test_a_scale_that_cannot_be_weighed_is_refused_before_anything_is_asked(run: Run, engine: None) -> None:
    """Of the numbers above 5, which the small world's tokenizer has no tokens for."""
    _, encode = seed_asked(run)
    (run.data / "judge.txt").write_text("Rate {response} to {prompt} from 0 to 10.\nScore: <number>")
    said = {"score_line": "expectation", "highest_score": 10.0, "template": "judge.txt"}
    section = run.recipe.judgments.model_copy(update=said)
    changed = replace(run, recipe=run.recipe.model_copy(update={"judgments": section}))
    with pytest.raises(UserError, match="in several tokens, expected one for each number"):
        scores_by(lambda *_: pytest.fail("asked"), encode, changed, ANSWERS, n=1, role="judge")
