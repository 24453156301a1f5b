"""Measures as numbers: what the checks of `test_guardrails.py` do not say of them, and where there is none."""

import polars as pl
import pytest

from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.method.measures import (
    PREVIOUS,
    Measure,
    Measured,
    chosen_length,
    collect,
    contradictory,
    counted_rows,
    cut_off,
    duplicates,
    empty,
    entropy,
    growth,
    higher_score,
    identical,
    not_finite,
    pair_yield,
    parsed,
    position,
    probe,
    score_reliability,
    top_scores,
)
from mr_assets.tables import ACTOR_PAIRS, DPO_DATASET, JUDGMENTS, META_JUDGMENTS, RESPONSES, SCORING_SHIFT

TEN = Scoring(lowest=0, highest=10)


def judged(*rows: tuple[float | None, str | None]) -> pl.DataFrame:
    """Judgments of (score, why it has none, or had none before it was asked for again)."""
    return pl.DataFrame(rows, schema={"score": pl.Float64, "invalid": pl.String}, orient="row")


def fought(*battles: tuple[str | None, str | None, str | None]) -> pl.DataFrame:
    """Battles of (winner, finish_reason, copied_from), all between the judgments a and b."""
    columns = ["winner", "finish_reason", "copied_from"]
    found = pl.DataFrame(battles, schema=dict.fromkeys(columns, pl.String), orient="row")
    return found.with_columns(first_id=pl.lit("a"), second_id=pl.lit("b"), invalid=pl.lit(None, pl.String))


def scored(a: float, b: float) -> pl.DataFrame:
    return pl.DataFrame({"judgment_id": ["a", "b"], "score": [a, b]})


def test_rows_are_counted_in_words() -> None:
    assert [counted_rows(n) for n in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]


def test_columns_of_a_scanned_table_and_of_one_in_memory_are_the_same() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [3, 4]})
    assert collect(frame, "a", pl.col("b").sum()).equals(collect(frame.lazy(), "a", pl.col("b").sum()))
    assert collect(frame, pl.col("b").sum()).item() == 7


def test_an_empty_table_is_measured_too() -> None:
    """1 if it has no rows, and else 0: a measure of one thing, the table."""
    measure = empty("prompts")
    assert measure({"prompts": pl.DataFrame({"x": []})}) == Measured(1.0, 1, "0 rows", {"rows": 0})
    assert measure({"prompts": pl.DataFrame({"x": [5, 6]})}) == Measured(0.0, 1, "2 rows", {"rows": 2})


def test_a_share_has_its_counts_and_how_it_came_about() -> None:
    rows = pl.DataFrame({"response_id": ["a", "b", "a", "a"]})
    found = duplicates(RESPONSES)({"responses": rows})
    assert found == Measured(0.5, 4, "50%: 2 of 4", {"repeated ids": 2, "rows": 4})


def test_why_there_is_no_score_the_commonest_reason_first() -> None:
    """Four of ten have a score, one of which was asked for again. Equally common ones by name; unknown words unsaid."""
    rows: list[tuple[float | None, str | None]] = [*[(4.0, None)] * 3, (3.0, "no_score")]
    rows += [(None, "off_scale")] * 2 + [(None, "different_scores")] * 2 + [(None, "no_score"), (None, "<b>")]
    found = parsed("judgments", "score")({"judgments": judged(*rows)})
    assert found is not None
    assert found.came == "40%: 4 of 10, the others 2 different_scores, 2 off_scale, 1 no_score"
    assert (found.value, found.rows, found.numbers) == (0.4, 10, {"with a score": 4, "all": 10})


def test_battles_without_a_text_are_not_asked_for_a_winner() -> None:
    """One of two that were written has a winner; a copy and one of equal texts were not."""
    battles = fought(("first", "stop", None), (None, "stop", None), ("first", "stop", "another"), (None, None, None))
    found = parsed("meta_judgments", "winner")({"meta_judgments": battles.lazy()})
    assert found is not None and found.came == "50%: 1 of 2"


def completions(*rows: tuple[str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["finish_reason", "tokens"], orient="row")


def test_what_is_cut_off_may_say_its_tokens_or_their_number() -> None:
    """Of 10 and 20 tokens that ended the median is 15; 20 are far from the 64 that there are."""
    by_number = completions(("stop", 10), ("stop", 20), ("length", 64), ("length", 64))
    by_ids = by_number.select("finish_reason", token_ids=pl.lit(1).repeat_by("tokens"))
    numbers = {"cut off": 2, "all": 4, "tokens at most": 64, "longest that ended": 20}
    for table in (by_number, by_ids, by_number.lazy()):
        found = cut_off("responses")({"responses": table})
        assert found is not None
        assert found.came == "50%: 2 of 4, after 64 tokens; those that ended took 15, 20 at most"
        assert (found.value, found.rows, found.numbers) == (0.5, 4, numbers)
        assert found.cause.startswith("They run on without an end, and more than responses.max_tokens = 64")


def test_where_nothing_is_cut_off_no_cause_is_looked_for() -> None:
    found = cut_off("responses")({"responses": completions(("stop", 10), ("stop", 20))})
    assert found == Measured(0.0, 2, "0%: 0 of 2", {"cut off": 0, "all": 2})


def test_scores_are_held_against_the_recipes_scale() -> None:
    """5 is the highest of the paper's scale, and half of another."""
    tables = {"judgments": judged(*[(5.0, None)] * 3, (1.0, None), (None, "no_score"))}
    papers, ten = (top_scores(scoring)(tables) for scoring in (PAPERS_SCORING, TEN))
    assert papers is not None and ten is not None
    assert (papers.came, ten.came) == ("75%: 3 of 4", "0%: 0 of 4")


def test_the_entropy_of_four_scores_that_are_equally_common() -> None:
    """2 bits; of equally common scores the highest is named."""
    found = entropy(PAPERS_SCORING)({"judgments": judged(*((float(s), None) for s in range(1, 5)))})
    assert found is not None and found.value == pytest.approx(2)
    assert found.came == "2 bits: 1 of 4 scores are 4"
    assert found.numbers == {"bits": found.value, "scores": 4, "different scores": 4}


def test_a_shift_is_a_share_of_the_scale_whatever_its_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower by 1: 0.2 of a scale of 5, 0.1 of one of 10; what is said keeps the sign."""
    figures = {"shift": -1.0, "shift_low": -1.25, "shift_high": -0.75, "responses": 1200}
    monkeypatch.setattr("mr_assets.method.scoring_shift.scoring_shift_numbers", lambda rows, scoring, only: figures)
    measure = probe("shift", unit=" of the score", of_scale=True)
    for scoring, share in ((PAPERS_SCORING, 0.2), (TEN, 0.1)):
        came = "-1 of the score (95% interval -1.25 to -0.75) on 1,200 responses"
        numbers: dict[str, float | int] = {"shift": -1.0, "at least": -1.25, "at most": -0.75}
        assert measure(scoring)({"scoring_shift": SCORING_SHIFT.empty()}) == Measured(share, 1200, came, numbers)


def test_no_position_that_wins_more_is_the_first() -> None:
    """Two wins each, all of the judgment with the lower score or the higher one in turn; numbers name no unknown."""
    tables = {
        "meta_judgments": fought(*[(w, "stop", None) for w in ("first", "second") * 2]),
        "judgments": scored(4, 4),
    }
    found = position(tables)
    assert found is not None and found.value == 0.5
    assert found.came == "50% for the first position in 4 decisive battles"
    assert None not in found.numbers.values() and "higher score wins" not in found.numbers
    assert higher_score(tables) is None
    ahead = higher_score(tables | {"judgments": scored(5, 4)})
    assert ahead is not None and ahead.came == "50% in 4 decisive battles between different scores"


def test_candidates_for_a_pair_are_counted_once() -> None:
    """Two prompts with two responses each."""
    tables = {"actor_pairs": pl.DataFrame({"pair_id": ["a"]}), "responses": pl.DataFrame({"prompt_id": list("ppqq")})}
    found = pair_yield("actor_pairs", "responses", "prompt_id")(tables)
    assert found == Measured(0.5, 2, "50%: 1 of 2", {"pairs": 1, "candidates": 2})


def test_growth_is_by_characters() -> None:
    """Letters of two bytes count once: 2 and 4 after 2."""
    tables = {"responses": texts("\u00fc\u00fc", "abcd"), PREVIOUS: texts("ab")}
    found = growth(tables)
    assert found is not None and (found.value, found.rows) == (1.5, 2)
    assert found.came == "1.5 times: 3 characters after 2"


def texts(*responses: str) -> pl.DataFrame:
    return pl.DataFrame({"response": responses}, schema={"response": pl.String})


def test_a_loss_that_is_missing_is_not_finite_either() -> None:
    log = pl.DataFrame({"step": [1, 2, 3], "loss": [0.5, None, float("inf")]})
    found = not_finite({"training_log": log})
    assert found is not None
    assert found.came == "66.7%: 2 of 3; the first is None at step 2"


JUDGED = {"judgments": JUDGMENTS.empty(), "meta_judgments": META_JUDGMENTS.empty()}
PAIRED = {"actor_pairs": ACTOR_PAIRS.empty(), "responses": RESPONSES.empty()}
LENGTHS = {"chosen_chars": [3], "rejected_chars": [0]}


@pytest.mark.parametrize(
    ("measure", "tables"),
    [
        (duplicates(RESPONSES), {"responses": RESPONSES.empty()}),
        (parsed("judgments", "score"), JUDGED),
        (cut_off("responses"), {"responses": RESPONSES.empty()}),
        (cut_off("prompts"), {"prompts": pl.DataFrame({"prompt": ["p"]})}),  # nothing of it was sampled
        (entropy(PAPERS_SCORING), {"judgments": judged((None, "no_score"))}),
        (top_scores(PAPERS_SCORING), {"judgments": judged((None, "no_score"))}),
        (score_reliability, {"judgments": pl.DataFrame({"response_id": ["1.p.r0"], "score": [4.0]})}),
        (probe("shift_previous")(PAPERS_SCORING), {"scoring_shift": SCORING_SHIFT.empty()}),
        (position, JUDGED),
        (higher_score, JUDGED),
        (pair_yield("actor_pairs", "responses", "prompt_id"), PAIRED),
        (growth, {"responses": texts("a"), PREVIOUS: texts("", "")}),  # nothing is a multiple of no characters
        (growth, {"responses": texts(), PREVIOUS: texts("a")}),
        (chosen_length("actor_pairs"), {"actor_pairs": ACTOR_PAIRS.empty()}),
        (chosen_length("actor_pairs"), {"actor_pairs": pl.DataFrame(LENGTHS)}),
        (identical, {"dpo_dataset": DPO_DATASET.empty()}),
        (contradictory, {"dpo_dataset": DPO_DATASET.empty()}),
        (not_finite, {"training_log": pl.DataFrame(schema={"step": pl.Int64, "loss": pl.Float64})}),
    ],
)
def test_of_nothing_nothing_is_measured(measure: Measure, tables: dict[str, pl.DataFrame]) -> None:
    assert measure(tables) is None
