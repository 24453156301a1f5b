"""The policy compares its own judgments in pairs, in both orders, by a fake engine."""

from itertools import permutations

import pytest

from mr_assets.ids import battle_id
from mr_assets.runs.run import Run
from mr_assets.tables import META_JUDGMENTS
from mr_assets_tests.lineage.conftest import table

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_every_ordered_pair_of_a_selected_responses_judgments_battles(finished: Run) -> None:
    """Three judgments of each of five responses: thirty battles, each named by the two in the order shown."""
    battles, selected = table(finished, "meta_judgments"), table(finished, "selected_responses")["response_id"]
    META_JUDGMENTS.check(battles)
    orders = list(permutations(range(3), 2))
    assert sorted(battles["meta_judgment_id"]) == sorted(battle_id(each, *pair) for each in selected for pair in orders)
    for row in battles.iter_rows(named=True):
        first, second = (row[side].removeprefix(f"{row['response_id']}.j") for side in ("first_id", "second_id"))
        assert row["meta_judgment_id"] == battle_id(row["response_id"], int(first), int(second))
    assert battles.height == 30


def test_equal_texts_do_not_battle_and_the_same_texts_do_once(finished: Run) -> None:
    """What was sampled, copied and left out are all battles; as many were asked for as were sampled."""
    texts = dict(table(finished, "judgments").select("judgment_id", "judgment").iter_rows())
    rows = {row["meta_judgment_id"]: row for row in table(finished, "meta_judgments").iter_rows(named=True)}
    shown = {each: (texts[row["first_id"]], texts[row["second_id"]]) for each, row in rows.items()}
    assert {each for each, (first, second) in shown.items() if first == second} == {
        each for each, row in rows.items() if row["invalid"] == "identical_battle"
    }
    sampled = [each for each, row in rows.items() if row["meta_judgment"] and row["copied_from"] is None]
    assert len({(rows[each]["response_id"], *shown[each]) for each in sampled}) == len(sampled) == 22
    for each, row in rows.items():
        if (source := row["copied_from"]) is not None:
            assert shown[source] == shown[each]
            assert (rows[source]["winner"], rows[source]["meta_judgment"]) == (row["winner"], row["meta_judgment"])
    record = finished.record("meta_judgments", "1")
    assert record is not None
    assert (record.numbers["requests"], record.numbers["battles"]) == (22, 30)


def test_the_winner_is_the_one_that_the_text_names(finished: Run) -> None:
    """``Winner: Judgement A`` is the first shown, B the second; a battle that was not fought has no winner."""
    rows = table(finished, "meta_judgments")
    named = rows["meta_judgment"].str.extract(r"Winner: Judgement ([AB])").replace({"A": "first", "B": "second"})
    assert rows["winner"].to_list() == named.to_list()
    assert set(rows["winner"]) == {"first", "second", None}
