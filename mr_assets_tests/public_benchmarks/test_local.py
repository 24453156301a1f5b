"""A model's answers to a benchmark: sampled once, known by what shaped them."""

import shutil
from dataclasses import replace

import pytest

from mr_assets.errors import UserError
from mr_assets.public_benchmarks.local import Local, model_at, models_there
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings

SETTINGS = SamplingSettings(temperature=0.7, top_p=1.0, max_tokens=48)
PROMPTS = ["Write b a in upper case.", "What is 2?"]


def local(run: Run, key: str = "1", said: list[str] | None = None) -> Local:
    return Local(run, key, "alpaca_eval", (said if said is not None else []).append)


def test_answers_are_sampled_once(run: Run, engine: list[str]) -> None:
    """And again where the settings, the prompts, or the model's content change."""
    first = local(run).answers(PROMPTS, SETTINGS)
    assert [len(texts) for texts in first] == [1, 1] and engine == ["0", "1"]
    assert local(run).answers(PROMPTS, SETTINGS) == first and len(engine) == 2
    assert not list(local(run).folder.glob(".shards*"))
    local(run).answers(PROMPTS, SETTINGS.model_copy(update={"temperature": 0.5}))
    local(run).answers(PROMPTS[:1], SETTINGS)
    assert len(engine) == 5


def test_several_answers_and_conversations(run: Run, engine: list[str]) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    found = local(run).answers([[*turns, {"role": "user", "content": "Two"}]], SETTINGS, n=3, role="two")
    assert len(found[0]) == 3


def test_a_prompt_that_is_too_long_has_no_answer(run: Run, engine: list[str]) -> None:
    said: list[str] = []
    assert local(run, said=said).answers([PROMPTS[0], "x " * 600], SETTINGS)[1] == []
    assert any("1 of 2 requests do not fit into engine.max_model_len = 512" in line for line in said)


def test_the_models_of_a_run(run: Run) -> None:
    assert models_there(run) == ["seed", "0", "1", "2"]
    assert [model_at(run, key).name for key in models_there(run)] == ["seed", "M0", "M1", "M2"]
    shutil.rmtree(run.place("checkpoints", "2"))
    assert models_there(run) == ["seed", "0", "1"]
    with pytest.raises(UserError, match="checkpoints of iteration 2 of tiny is not there"):
        model_at(run, "2")
    with pytest.raises(UserError, match=r"has no model '7'. It has seed, 0, 1, 2"):
        model_at(replace(run), "7")
