import re
from pathlib import Path

import polars as pl

from mr_assets import method
from mr_assets.method.dropped import DETAILS, REASONS, dropped, gathered, in_words
from mr_assets.tables import DROPPED


def test_a_row_names_what_why_and_the_numbers() -> None:
    """Nothing vanishes: id, reason, and the numbers behind it as JSON."""
    frame = pl.DataFrame({"response_id": ["r"], "score": [4.5], "chars": [3]})
    made = dropped(frame, "response_id", "equal_scores", ["score", "chars"])
    assert made.rows() == [("r", "equal_scores", '{"score":4.5,"chars":3}')]
    DROPPED.check(made)


def test_gathered_rows_are_sorted_by_id() -> None:
    """Row order does not depend on where a drop was found."""
    parts = [dropped(pl.DataFrame({"id": [i]}), "id", "equal_elo", ["id"]) for i in "ba"]
    assert gathered(*parts)["id"].to_list() == ["a", "b"]
    DROPPED.check(gathered())


def test_every_reason_in_the_method_is_explained_and_the_other_way_round() -> None:
    """The words of the reason column are documented in one place, and none is documented that cannot occur."""
    sources = [path for path in Path(method.__file__).parent.glob("*.py") if path.name != "dropped.py"]
    written = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', "".join(path.read_text() for path in sources)))
    used = {word for word in REASONS if word in written}
    assert used | {"prompt_too_long"} == set(REASONS)
    said = re.findall(
        r'then\(pl\.lit\("([a-z_]+)"\)|otherwise\(pl\.lit\("([a-z_]+)"\)', "".join(p.read_text() for p in sources)
    )
    assert {word for pair in said for word in pair if word} <= set(REASONS)


def test_a_reason_in_words() -> None:
    """With the numbers of its row where they say more, and ids by their last part."""
    numbers = {"chosen_id": "1.p.r2", "chosen_chars": 57, "max_chosen_chars": 50, "rejected_id": None}
    said = "the chosen text has more characters than the threshold (r2 has 57, allowed are 50)"
    assert in_words("chosen_too_long", numbers) == said
    assert in_words("no_battles", {"battles": 0}) == REASONS["no_battles"]


def test_details_are_of_known_reasons() -> None:
    assert set(DETAILS) <= set(REASONS)
