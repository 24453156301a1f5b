"""How the judges answer, as the recipe's sections keep it: where nothing is said it is the paper's."""

from typing import Any

import pytest

from mr_assets.judging import LINES, PAPERS, PAPERS_JUDGE, PAPERS_META_JUDGE, Scoring, Verdicts
from mr_assets.templates import judge_template, meta_judge_template


def test_without_a_word_it_is_the_papers() -> None:
    """A.1 and Figure 2. Records of earlier versions name none of it."""
    assert Scoring.of({}) == Scoring() == ("Score", 0, 5, False)
    assert Verdicts.of({}) == Verdicts() == ("Winner", "Judgement A", "Judgement B")


@pytest.mark.parametrize(
    ("section", "scoring"),
    [
        ({"score_words": "Punktzahl", "lowest_score": 1, "highest_score": 10}, Scoring("Punktzahl", 1, 10)),
        ({"highest_score": 3.5, "n": 11, "template": None}, Scoring("Score", 0, 3.5)),
        ({"score_line": "expectation"}, Scoring(expected=True)),
        ({"score_line": "sampled"}, Scoring()),
    ],
)
def test_what_a_section_says_of_scores(section: dict[str, Any], scoring: Scoring) -> None:
    """Each for itself; of the section's other fields no notice is taken."""
    assert Scoring.of(section) == scoring


def test_what_a_section_says_of_winners() -> None:
    said = {"winner_words": "Sieger", "first_name": "Urteil 1", "second_name": "Urteil 2", "winner_line": "expectation"}
    assert Verdicts.of(said) == Verdicts("Sieger", "Urteil 1", "Urteil 2")
    assert Verdicts.of({"second_name": "B"}) == Verdicts("Winner", "Judgement A", "B")


@pytest.mark.parametrize(
    ("scoring", "said"),
    [
        (Scoring(), "0 to 5"),
        (Scoring(lowest=1, highest=10), "1 to 10"),
        (Scoring(lowest=0.5, highest=2.25), "0.5 to 2.25"),
    ],
)
def test_the_scale_in_words(scoring: Scoring, said: str) -> None:
    """Whole numbers without a point."""
    assert scoring.said == said


def test_the_papers_words_are_those_of_its_prompts() -> None:
    """Each judge is asked for the line that is looked for in its answer."""
    judge, meta_judge = ("".join(template.pieces) for template in (judge_template(), meta_judge_template()))
    assert f'format: "{PAPERS["judgments.score_words"]}: <total points>"' in judge
    words, first, second = PAPERS_META_JUDGE.values()
    assert f'format: "{words}: [{first} | {second}]"' in meta_judge


def test_fields_of_either_judge_are_named_by_its_section() -> None:
    """As records and recipes name them; together they are all."""
    assert {path.partition(".")[0] for path in PAPERS_JUDGE} == {"judgments"}
    assert {path.partition(".")[0] for path in PAPERS_META_JUDGE} == {"meta_judgments"}
    assert PAPERS == {**PAPERS_JUDGE, **PAPERS_META_JUDGE} and len(PAPERS) == 6
    assert LINES == {"judgments.score_line": "sampled", "meta_judgments.winner_line": "sampled"}
