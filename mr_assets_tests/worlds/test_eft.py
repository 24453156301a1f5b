"""EFT data of the small world: judged responses as conversations."""

import polars as pl

from mr_assets.method.judgments import parse_score
from mr_assets.tables import EFT_DATASET
from mr_assets.templates import JUDGE_FIELDS, Template
from mr_assets.worlds.eft import make_eft
from mr_assets.worlds.letters import Imperfection, true_score

TEMPLATE = Template("mine", "Q: {prompt}\nA: {response}\nScore: 0 to 5", JUDGE_FIELDS)
PERFECT, NOISY = Imperfection(), Imperfection(judge_noise=1.0)


def judged(eft: pl.DataFrame) -> list[tuple[float, float | None]]:
    """What each response is worth, and the score that its judgment gives."""
    found = []
    for [asked], [answer] in eft.select("prompt", "completion").iter_rows():
        assert (asked["role"], answer["role"]) == ("user", "assistant")
        shown = TEMPLATE.unfill(asked["content"])
        assert shown is not None
        found.append((float(true_score(**shown)), parse_score(answer["content"])[0]))
    return found


def test_each_row_is_a_judge_prompt_and_its_judgment() -> None:
    """By the template that is given. A judge that does not err gives what each response is worth, and all six scores
    come up.
    """
    eft = make_eft(60, 0, PERFECT, TEMPLATE)
    assert eft.schema == EFT_DATASET.schema
    assert eft["example_id"].to_list() == [str(i) for i in range(60)]
    found = judged(eft)
    assert all(score == worth for worth, score in found)
    assert {worth for worth, _ in found} == {0, 1, 2, 3, 4, 5}


def test_a_judge_that_errs_shows_in_the_judgments() -> None:
    """All scores by lot, of six: about 50 of 300 are right all the same."""
    right = sum(score == worth for worth, score in judged(make_eft(300, 0, NOISY, TEMPLATE)))
    assert 30 <= right <= 70


def test_the_seed_decides_and_fewer_rows_are_the_first_of_more() -> None:
    more = make_eft(20, 0, NOISY, TEMPLATE)
    assert make_eft(20, 0, NOISY, TEMPLATE).equals(more)
    assert make_eft(7, 0, NOISY, TEMPLATE).equals(more.head(7))
    assert not make_eft(20, 1, NOISY, TEMPLATE).equals(more)
    assert make_eft(0, 0, NOISY, TEMPLATE).schema == EFT_DATASET.schema
