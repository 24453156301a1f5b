"""Both judge prompts of a recipe: the paper's or the user's files, and whether they ask for what is parsed."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.templates import JUDGE_FIELDS, META_JUDGE_FIELDS, judge_template, meta_judge_template

PAPER = "llama_3_8b_meta_rewarding"  # without a world, whose judge is the paper's
JUDGE = "Rate {response} to {prompt} from 0 to 5.\nScore: <number>\n"
META_JUDGE = "{prompt} {response}\nA: {judgment_a}\nB: {judgment_b}\nWinner: Judgement A or Judgement B"


def faults(data: Path, *sets: str) -> str:
    """The message with which the prompts of a recipe are refused."""
    with pytest.raises(UserError) as error:
        judge_prompts(load_recipe(PAPER, sets), data)
    return str(error.value)


def test_the_papers_prompts_unless_the_recipe_names_files(tmp_path: Path) -> None:
    assert judge_prompts(load_recipe(PAPER), tmp_path) == (judge_template(), meta_judge_template())


def test_files_are_absolute_or_in_the_data_folder(tmp_path: Path) -> None:
    """Each in its own place; a final newline is not part of a prompt."""
    data, elsewhere = tmp_path / "data", tmp_path / "meta.txt"
    data.mkdir()
    (data / "judge.txt").write_text(JUDGE)
    elsewhere.write_text(META_JUDGE)
    one = judge_prompts(load_recipe(PAPER, ["judgments.template=judge.txt"]), data)
    assert (one.judge.text, one.judge.fields) == (JUDGE.removesuffix("\n"), JUDGE_FIELDS)
    assert one.meta_judge == meta_judge_template()
    other = judge_prompts(load_recipe(PAPER, [f"meta_judgments.template={elsewhere}"]), data)
    assert (other.meta_judge.text, other.meta_judge.fields) == (META_JUDGE, META_JUDGE_FIELDS)
    assert other.judge == judge_template()


def test_templates_ask_for_what_is_parsed(tmp_path: Path) -> None:
    """The words, the scale and the names of both prompts; all that is wrong in one message."""
    (tmp_path / "judge.txt").write_text("Rate {response} to {prompt} from 1 to 10.\nRating: <number>")
    sets = ["judgments.template=judge.txt", "meta_judgments.winner_words=Sieger"]
    said = faults(tmp_path, *sets)
    assert said.startswith("prompts and recipe do not belong together.\n  - ")
    assert 'judge.txt (judgments.template): it does not say "Score:"' in said
    assert "judge.txt (judgments.template): it does not state the scale 0 to 5" in said
    assert 'the paper\'s meta-judge prompt (meta_judgments.template = null): it does not say "Sieger:"' in said
    scale = ["judgments.score_words=Rating", "judgments.lowest_score=1", "judgments.highest_score=10"]
    assert "judge.txt" not in faults(tmp_path, *sets, *scale)
