"""Responses and the judgments, or the rewards, that a model gives them, as an asset's table."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.method.conversations import with_turns
from mr_assets.runs.artifact import Artifact
from mr_assets.runs.run import Run
from mr_assets.tables import JUDGMENTS
from mr_assets.templates import judge_template
from mr_assets.wiring.judge import judged, judged_by_rewards
from mr_assets.wiring.materialization import Result
from mr_assets.wiring.models import seed_of
from mr_assets_tests.fakes import WorldSampler, pictures_are
from mr_assets_tests.method.tables import Answer, tables
from mr_assets_tests.reward_model import SEED_MODEL, reward_model
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.wiring.conftest import ByTokens, metadata, work

LONG = "b " * 600  # with a context of 512 tokens
USER = {"role": "user", "content": "Write b c."}
SAID = {"good": "Right. Score: 5", "bad": "I cannot say."}


class Judge(WorldSampler):
    """An engine that says of a response what `SAID` has of it; a score that it is asked for again is by lot."""

    def say(self, message: str) -> str:
        shown = judge_template().unfill(message)
        assert shown is not None and shown["prompt"] == "Write b c."
        return SAID[shown["response"]]


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.wiring.sampling.open_engine", lambda folder, policy, *_, **__: Judge(folder, policy))
    pictures_are(False, monkeypatch)


def answered(*texts: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Responses to one prompt; and the same as they are to be judged."""
    responses, _ = tables({"p": [Answer(text, ()) for text in texts]})
    return responses, responses.select("response_id", "response", prompt=pl.lit("Write b c."))


def by_seed(run: Run, *texts: str, **said: Any) -> Result:
    """What the seed model makes of the responses, by whatever is said besides."""
    responses, asked = answered(*texts)
    under_way = work(run, "judgments")
    under_way.policy = seed_of(under_way)
    return judged(under_way, asked, responses=responses, **said)


def made(result: Result) -> Artifact:
    assert isinstance(result.value, Artifact)
    return result.value


def rows(result: Result) -> list[tuple[Any, ...]]:
    """Id, text, score and why there is none, of each row of the table."""
    found = made(result).rows
    assert found is not None
    table = found.lazy().collect()
    assert table.schema == JUDGMENTS.schema
    return table.select("judgment_id", "judgment", "score", "invalid").rows()


def found_by(result: Result, check: str) -> str | None:
    """What a check of the table says."""
    [said] = [each.description for each in result.check_results if each.check_name == check]
    return said


def test_every_response_has_its_judgments_and_their_scores(run: Run) -> None:
    """Three, as the tiny recipe says. The record has figures of them, and the model that judged."""
    result = by_seed(run, "good", "bad")
    assert rows(result) == [
        *((f"1.p.r0.j{n}", "Right. Score: 5", 5.0, None) for n in range(3)),
        *((f"1.p.r1.j{n}", "I cannot say.", None, "no_score") for n in range(3)),
    ]
    record = made(result).record
    assert record.policy == fingerprint(SEED_MODEL)
    numbers = {"requests": 2, "parse rate": 0.5, "mean score": 5.0, "without a score: no_score": 3}
    assert numbers.items() <= record.numbers.items()
    assert "picture: scores" in metadata(result)


def test_the_checks_see_the_judgments_and_what_stands_beside_them(run: Run) -> None:
    """Scores are counted without the texts, ids held against the responses that are given beside."""
    result = by_seed(run, "good", "bad")
    assert "Came 50%: 3 of 6, the others 3 no_score." in (found_by(result, "parse_rate") or "")
    responses, asked = answered("good", "bad")
    under_way = work(run, "judgments")
    under_way.policy = seed_of(under_way)
    orphans = judged(under_way, asked, responses=responses.head(1))
    assert "came 50%: 3 of 6" in (found_by(orphans, "orphan_ids") or "")


def test_so_many_judgments_as_are_asked_for(run: Run) -> None:
    """In place of the recipe's; a response that is too long for the engine is dropped with the reason."""
    result = by_seed(run, "good", LONG, n=1)
    assert rows(result) == [("1.p.r0.j0", "Right. Score: 5", 5.0, None)]
    dropped = made(result).dropped
    assert dropped is not None
    assert dropped.select("id", "reason").rows() == [("1.p.r1", "prompt_too_long")]
    assert rows(by_seed(run, n=1)) == []


def test_a_line_that_is_asked_for_again_stands_behind_the_judgment(tmp_path: Path) -> None:
    """Its number is by lot among those of the scale; why there was no score is kept. What has a score keeps it."""
    result = by_seed(tiny_run(tmp_path, "judgments.score_line=asked_again"), "good", "bad", n=1)
    good, (id, text, score, invalid) = rows(result)
    assert good == ("1.p.r0.j0", "Right. Score: 5", 5.0, None)
    assert (id, text, invalid) == ("1.p.r1.j0", f"I cannot say.\nScore: {score:.0f}", "no_score")


def test_by_the_recipes_own_judge_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judgments by another prompt are others: those that were sampled are not taken over."""
    here = "requests sampled by this run"
    assert made(by_seed(tiny_run(tmp_path), "good")).record.numbers[here] == 1
    assert made(by_seed(tiny_run(tmp_path), "good")).record.numbers[here] == 0
    (tmp_path / "mine.txt").write_text("{prompt}\n{response}\nScore: 0 to 5")
    monkeypatch.setattr(Judge, "say", lambda self, message: message.replace("\n", "|"))
    result = by_seed(tiny_run(tmp_path, "judgments.template=mine.txt"), "good", n=1)
    assert [text for _, text, *_ in rows(result)] == ["Write b c.|good|Score: 0 to 5"]


def test_a_reward_model_gives_each_response_one_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's is the number of tokens of the conversation, turn by turn. No scale is drawn, and nobody judged."""
    ByTokens.watched(monkeypatch)
    folder = reward_model(tmp_path / "rm", weights=False)
    run = tiny_run(tmp_path, "reward_model={folder: rm}", "iterations.all.judge_training=false", "evaluation=null")
    turns = [{"role": "user", "content": "Write b."}, {"role": "assistant", "content": "b"}, USER]
    responses, asked = answered("good", "bad", LONG)
    prompts = with_turns([turns]).select(pl.lit("p").alias("prompt_id"), pl.all())
    result = judged_by_rewards(work(run, "judgments"), asked, prompts, responses=responses)
    reads = ChatEncoder.load(folder)
    good, bad = (float(len(reads.conversation_ids(turns, text))) for text in ("good", "bad"))
    assert rows(result) == [("1.p.r0.j0", f"{good:.0f}", good, None), ("1.p.r1.j0", f"{bad:.0f}", bad, None)]
    artifact = made(result)
    assert artifact.dropped is not None and artifact.dropped["id"].to_list() == ["1.p.r2"]
    assert artifact.record.policy is None
    assert artifact.record.numbers["mean score"] == (good + bad) / 2
    assert "picture: rewards" in metadata(result)
