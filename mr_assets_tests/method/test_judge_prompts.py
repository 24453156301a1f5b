import pytest

from mr_assets.judging import PAPERS_SCORING, PAPERS_VERDICTS, Scoring, Verdicts
from mr_assets.method.judge_prompts import judge_faults, meta_judge_faults
from mr_assets.templates import JUDGE_FIELDS, META_JUDGE_FIELDS, Template, judge_template, meta_judge_template

ASKED = "Question: {prompt}\nAnswer: {response}\n"


def judge(text: str, scoring: Scoring = PAPERS_SCORING) -> list[str]:
    return list(judge_faults(Template("mine.txt", ASKED + text, JUDGE_FIELDS), scoring))


def meta_judge(text: str, verdicts: Verdicts = PAPERS_VERDICTS) -> list[str]:
    asked = f"{ASKED}A: {{judgment_a}}\nB: {{judgment_b}}\n{text}"
    return list(meta_judge_faults(Template("mine.txt", asked, META_JUDGE_FIELDS), verdicts))


def test_the_papers_prompts_ask_for_what_the_paper_has_parsed() -> None:
    """Row 26: no fault in those of A.1 and Figure 2, with the words of rows 7 and 8."""
    assert list(judge_faults(judge_template(), PAPERS_SCORING)) == []
    assert list(meta_judge_faults(meta_judge_template(), PAPERS_VERDICTS)) == []


@pytest.mark.parametrize(
    ("text", "scoring"),
    [
        ('Rate it from 0 to 5, and end in "Score: <number>".', PAPERS_SCORING),
        ("Give one to five points, no more.\nScore:", PAPERS_SCORING),
        ("Write 2-3 sentences.\nThen **Score:** 0-5", PAPERS_SCORING),
        ("Two lines of 1-2 sentences.\nThen a number up to 10, as Score: 7", Scoring(highest=10)),
        ("On a scale of 1 to 10. [[Rating: 5]]", Scoring("Rating", 1, 10)),
        ("Rate it out of 100.\nFinal score: <number>", Scoring("Final score", 0, 100)),
        ("A number from 0 to 2.5.\nScore:", Scoring(highest=2.5)),
        ("Bewerte mit 1 bis 10 Punkten.\nPunktzahl: <Zahl>", Scoring("Punktzahl", 1, 10)),
        (
            "\u8bf7\u7528 1 \u5230 10 \u5206\u6253\u5206\u3002\n\u5f97\u5206\uff1a<\u6570>",
            Scoring("\u5f97\u5206", 1, 10),
        ),
    ],
)
def test_a_prompt_that_asks_for_the_words_and_states_the_scale(text: str, scoring: Scoring) -> None:
    assert judge(text, scoring) == []


@pytest.mark.parametrize(
    ("text", "scoring", "said"),
    [
        ("Rate it from 0 to 5.", PAPERS_SCORING, ['it does not say "Score:"']),
        ("Rate it from 0 to 5. Underscore: it", PAPERS_SCORING, ['it does not say "Score:"']),
        ("Rate it from 1 to 10, 5 is average.\nScore:", PAPERS_SCORING, ["scale 0 to 5 (judgments.", '"1 to 10"']),
        ("Rate it from 0 to 5.\nScore:", Scoring(lowest=1), ['scale 1 to 5', '"0 to 5"']),
        ("Use a 5-point scale.\nScore:", Scoring(highest=10), ['scale 0 to 10', '"5-point scale"']),
        ("Say how good it is.\nScore:", PAPERS_SCORING, ["it states no scale, expected the scale 0 to 5"]),
        ("At most 50 words, and 15 lines.\nScore:", PAPERS_SCORING, ["it states no scale"]),
        ("Score: 4/5", Scoring("Punktzahl", 1, 10), ['it does not say "Punktzahl:"', "scale 1 to 10"]),
    ],
)  # fmt: skip
def test_a_prompt_that_asks_for_something_else(text: str, scoring: Scoring, said: list[str]) -> None:
    """Row 26: a file must ask for row 7's words and state the recipe's scale."""
    faults = " ".join(judge(text, scoring))
    assert all(each in faults for each in said), faults


def test_a_scale_in_an_inserted_text_is_none_of_the_prompts() -> None:
    """Only the template's own text counts: a placeholder is no part of it."""
    assert "it states no scale" in judge("Score:")[0]


def test_a_meta_judge_prompt_asks_for_the_words_and_the_names() -> None:
    assert meta_judge("Winner: Judgment A, or judgement b") == []  # either spelling, any case
    assert meta_judge("Sieger: Urteil A oder Urteil B", Verdicts("Sieger", "Urteil A", "Urteil B")) == []
    [fault] = meta_judge("Winner: Judgement A or the other")
    assert fault.startswith('it does not say "Judgement B"')
    assert "meta_judgments.second_name" in fault
    faults = meta_judge("Winner: Judgement A or Judgement B", Verdicts("Sieger", "Urteil A", "Urteil B"))
    assert [fault.split(",")[0] for fault in faults] == [
        f'it does not say "{each}"' for each in ("Sieger:", "Urteil A", "Urteil B")
    ]
