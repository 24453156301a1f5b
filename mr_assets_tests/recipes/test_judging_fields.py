"""The words, the scale and the names of both judges as fields of a recipe."""

from operator import attrgetter
from pathlib import Path

import pytest
from click.testing import CliRunner

from mr_assets.cli.main import main
from mr_assets.judging import LINES, PAPERS, PAPERS_SCORING, PAPERS_VERDICTS, Scoring, Verdicts
from mr_assets.recipes.differences import from_paper
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets_tests.recipes.conftest import refused, written

REAL = "llama_3_8b_meta_rewarding"  # a recipe without a world


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_has_the_papers(name: str) -> None:
    recipe = load_recipe(name)
    assert {path: attrgetter(path)(recipe) for path in PAPERS | LINES} == PAPERS | LINES
    assert (recipe.judgments.scoring, recipe.meta_judgments.verdicts) == (PAPERS_SCORING, PAPERS_VERDICTS)
    assert from_paper(recipe) == []


def test_others_are_departures() -> None:
    sets = ["judgments.score_words=Punktzahl", "judgments.lowest_score=1", "judgments.highest_score=10"]
    sets += ["meta_judgments.first_name=Urteil 1", "judgments.template=mine.txt", "judgments.score_line=expectation"]
    recipe = load_recipe(REAL, sets)
    assert recipe.judgments.scoring == Scoring("Punktzahl", 1, 10, expected=True)
    assert recipe.meta_judgments.verdicts == Verdicts("Winner", "Urteil 1", "Judgement B")
    assert [(d.path, d.old, d.new) for d in from_paper(recipe)] == [
        ("judgments.template", None, "mine.txt"),
        ("judgments.score_words", "Score", "Punktzahl"),
        ("judgments.lowest_score", 0, 1),
        ("judgments.highest_score", 5, 10),
        ("meta_judgments.first_name", "Judgement A", "Urteil 1"),
        ("judgments.score_line", "sampled", "expectation"),
    ]


@pytest.mark.parametrize(
    ("sets", "parts"),
    [
        (["judgments.highest_score=0"], ["judgments.highest_score = 0", "above judgments.lowest_score = 0"]),
        (["judgments.lowest_score=5"], ["judgments.highest_score = 5", "above judgments.lowest_score = 5"]),
        (["judgments.lowest_score=-1"], ["judgments.lowest_score = -1", "greater than or equal to 0"]),
        (["judgments.score_words='Score:'"], ['judgments.score_words = "Score:"', "without the colon"]),
        (["judgments.score_words=' Score'"], ["single spaces"]),
        (["judgments.score_words='**'"], ["with a letter or digit"]),
        (['judgments.score_words="Sc\\nore"'], ["on one line"]),
        (["judgments.score_words=''"], ["judgments.score_words"]),
        (["meta_judgments.second_name=judgement a"], ["meta_judgments.second_name", "differ from first_name"]),
    ],
)
def test_what_cannot_be_is_refused(sets: list[str], parts: list[str]) -> None:
    message = refused(*sets, name=REAL)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("path", PAPERS)
def test_a_world_has_the_papers_judge(path: str) -> None:
    """Its truth is from 0 to 5, and its judged examples and seed models are written so."""
    value = {"lowest_score": 1, "highest_score": 10}.get(path.partition(".")[2], "Other")
    assert f"{path} = " in (message := refused(f"{path}={value}"))
    assert "the world has the paper's" in message


def test_mr_recipes_shows_the_prompt_and_what_departs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    written(tmp_path, "Rate {response} to {prompt} from 1 to 10.\nScore: <number>", "judge.txt")
    text = "judgments: {template: judge.txt, lowest_score: 1, highest_score: 10}"
    mine = written(tmp_path, f"extends: {REAL}\n{text}")
    shown = CliRunner().invoke(main, ["recipes", str(mine)])
    assert shown.exit_code == 0, shown.output
    for part in (
        'judgments.template = "judge.txt", the paper has null',
        "judgments.highest_score = 10.0, the paper has 5.0",
        "judge prompt, judge.txt:",
        "Rate {response} to {prompt} from 1 to 10.",
    ):
        assert part in shown.output
    (tmp_path / "judge.txt").write_text("Rate {response} to {prompt} from 0 to 5.\nScore: <number>")
    refusal = CliRunner().invoke(main, ["recipes", str(mine)])
    assert refusal.exit_code != 0
    assert "does not state the scale 1 to 10" in refusal.output
