"""What asks a reward model: its own reading of a conversation, its shards, and the engine that ends before."""

from pathlib import Path

import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.runs.artifact import Model
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import RewardSettings
from mr_assets.wiring.rewards import rewarded
from mr_assets_tests.reward_model import reward_model
from mr_assets_tests.tiny import tiny_run
from mr_assets_tests.wiring.conftest import ByTokens, work

FIELD = "reward_model.folder"
ASKED = [("1.p.r0", "Write a b.", "a b"), ("1.p.r1", "Write a b.", "a b c d"), ("1.q.r0", "Write c.", "c " * 600)]
SETTINGS = RewardSettings(folder="rm")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    reward_model(tmp_path / "rm", weights=False)
    return tiny_run(tmp_path, "reward_model={folder: rm}", "iterations.all.judge_training=false", "evaluation=null")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was opened and closed, in order."""
    return ByTokens.watched(monkeypatch)


def test_every_response_that_fits_has_its_reward(run: Run, events: list[str]) -> None:
    """The fake's is the number of tokens of the whole conversation, in the reward model's own chat template.

    One that is longer than it reads is dropped, with its tokens.
    """
    found = rewarded(work(run, "judgments"), SETTINGS, FIELD, ASKED, len(ASKED))
    encode = ChatEncoder.load(run.data / "rm")
    tokens = {id: len(encode.conversation_ids(prompt, answer)) for id, prompt, answer in ASKED}
    rows = found.completions.collect().select("request_id", "sample", "text").rows()
    assert rows == [("1.p.r0", 0, str(tokens["1.p.r0"])), ("1.p.r1", 0, str(tokens["1.p.r1"]))]
    assert tokens["1.p.r0"] < tokens["1.p.r1"]
    assert found.dropped.rows() == [("1.q.r0", "prompt_too_long", f'{{"prompt tokens": {tokens["1.q.r0"]}}}')]
    assert (found.numbers["requests"], found.numbers["requests too long"]) == (2, 1)


def test_the_engine_ends_before_the_reward_model_is_loaded(run: Run, events: list[str]) -> None:
    """And the reward model at the end. No policy is said to have written the rewards."""
    under_way = work(run, "judgments", policy=Model("nowhere", "f00d", "M0"))
    rewarded(under_way, SETTINGS, FIELD, ASKED[:1], 1)
    assert events == ["engine closed", "rm opened", "rm closed"]
    assert under_way.policy is None


def test_rewards_are_found_again_unless_the_model_has_another_content(run: Run, events: list[str]) -> None:
    """By the content that was noted as the asset began, or that of now where its settings name none."""
    first = rewarded(work(run, "judgments"), SETTINGS, FIELD, ASKED[:2], 2)
    again = rewarded(work(run, "judgments"), SETTINGS, FIELD, ASKED[:2], 2)
    here = "requests sampled by this run"
    assert (first.numbers[here], again.numbers[here]) == (2, 0)
    assert again.completions.collect().equals(first.completions.collect())
    noted = work(run, "judgments")
    assert noted.settings["content of reward_model.folder"] == fingerprint(run.data / "rm")
    noted.settings["content of reward_model.folder"] = "another"
    assert rewarded(noted, SETTINGS, FIELD, ASKED[:2], 2).numbers[here] == 2
    del noted.settings["content of reward_model.folder"]
    assert rewarded(noted, SETTINGS, FIELD, ASKED[:2], 2).numbers[here] == 0
