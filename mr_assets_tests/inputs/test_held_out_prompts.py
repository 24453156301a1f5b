"""Where held-out prompts are from."""

import json
from pathlib import Path

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.held_out_prompts import held_out_prompts
from mr_assets.recipes.recipe import HeldOutPrompts, Recipe
from mr_assets.worlds.letters import is_held_out
from mr_assets_tests.tiny import tiny_recipe


def of(source: str, prompts: int | None = None) -> Recipe:
    return tiny_recipe().model_copy(update={"held_out": HeldOutPrompts(source=source, prompts=prompts)})


def test_the_worlds_are_those_that_nothing_is_trained_on(tmp_path: Path) -> None:
    found = held_out_prompts(of("world", 5), tmp_path, None)
    assert found.height == 5
    assert all(map(is_held_out, found["prompt"]))


def test_those_of_rankings_are_the_prompts_that_are_held_out(tmp_path: Path) -> None:
    replies = pl.DataFrame({"prompt": ["a", "b", "b", "c", "c"], "held_out": [False, True, True, True, True]})
    assert held_out_prompts(of("rankings"), tmp_path, replies)["prompt"].to_list() == ["b", "c"]


def test_a_file_has_its_first_ones_and_conversations(tmp_path: Path) -> None:
    said = (("user", "Hi."), ("assistant", "Hi!"), ("user", "?"))
    talk = json.dumps([{"role": role, "content": text} for role, text in said])
    (tmp_path / "p.jsonl").write_text(f'{{"prompt": "One?"}}\n{{"prompt": {talk}}}\n{{"prompt": "Three?"}}\n')
    found = held_out_prompts(of("p.jsonl", 2), tmp_path, None)
    assert found["prompt"].to_list() == ["One?", "Hi.\n\nAssistant: Hi!\n\nUser: ?"]
    assert found["turns"].to_list()[0] is None
    with pytest.raises(UserError, match=r"held_out.prompts = 4: p.jsonl has 3 prompts. Lower it"):
        held_out_prompts(of("p.jsonl", 4), tmp_path, None)


def test_a_file_with_a_prompt_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("One?\nOne?\n")
    with pytest.raises(UserError, match=r"held-out prompts of p.txt: of 2 prompts, 1 repeated"):
        held_out_prompts(of("p.txt"), tmp_path, None)
