"""Tables: their columns, and the version of what is in them."""

from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.tables import BATTLE_MATRICES, JUDGMENTS, PROMPTS, SEED_PROMPTS, TABLES, TOKEN_IDS, version_of


def test_every_table_is_known_by_its_name() -> None:
    assert {"seed_prompts", "responses", "judgments", "elo_pairs", "dpo_dataset", "evaluation"} <= set(TABLES)
    assert all(name == table.name and table.key in table.columns for name, table in TABLES.items())


def test_columns_say_what_they_mean() -> None:
    """Every column has a meaning, and no table is without a key among its columns."""
    assert all(c.meaning for t in TABLES.values() for c in t.columns.values())
    assert PROMPTS.schema == SEED_PROMPTS.schema
    assert "score" in JUDGMENTS.columns


# ------------------------------------------------------------------------------------------------------ versions

VALUE = st.one_of(st.none(), st.integers(0, 9))
ROWS = st.lists(
    st.tuples(VALUE.map(lambda v: v if v is None else str(v)), VALUE, st.lists(VALUE, max_size=3)), max_size=8
)
COLUMNS = pl.Schema([("text", pl.String), ("score", pl.Float64), ("ids", TOKEN_IDS)])
Rows = list[tuple[str | None, int | None, list[int | None]]]


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


@given(ROWS, ROWS)
def test_a_version_is_of_content(rows: Rows, more: Rows) -> None:
    """Equal for equal rows, however they came about; different for different ones."""
    version, both, longer = version_of(frame(rows)), frame(rows + more), frame(more + rows)
    score = pl.col("score")
    equal: list[pl.DataFrame | pl.LazyFrame] = [
        frame(rows).lazy(),
        both.head(len(rows)),
        longer.slice(len(more)),
        both.filter(pl.Series([True] * len(rows) + [False] * len(more), dtype=pl.Boolean)),
        pl.concat([frame([row]) for row in rows] or [frame([])], rechunk=False),
        pl.concat([frame([row]) for row in rows] or [frame([])], rechunk=True),
        # a value stays under the null
        frame(rows).with_columns(pl.when(score.is_not_null()).then(score.fill_null(7.0))),
    ]
    assert {version_of(e) for e in equal} == {version}
    assert (version_of(both) == version) == (not more)
    assert (version_of(longer) == version_of(both)) == (more + rows == rows + more)


def test_a_version_is_of_names_types_nulls_and_boundaries() -> None:
    """Tables that a reader tells apart, though some have the same bytes one after the other."""
    tables = [
        pl.DataFrame({"a": [1, 2]}),
        pl.DataFrame({"b": [1, 2]}),
        pl.DataFrame({"a": [1.0, 2.0]}),
        pl.DataFrame({"a": ["1", "2"]}),
        pl.DataFrame({"a": ["12", ""]}),
        pl.DataFrame({"a": ["12", None]}),
        pl.DataFrame({"a": [[1], [2]]}),
        pl.DataFrame({"a": [[1, 2], []]}),
        pl.DataFrame({"a": [[1, 2], None]}),
        pl.DataFrame({"a": [1, 2, None]}),
        pl.DataFrame({"a": [1, None, 2]}),
        pl.DataFrame({"a": pl.Series([], dtype=pl.Int64)}),
        pl.DataFrame({"a": [2, 1]}),
        pl.DataFrame({"a": [{"x": 1, "y": 2}]}),
        pl.DataFrame({"a": [{"x": 2, "y": 1}]}),
        pl.DataFrame({"a": [True, False]}),
        pl.DataFrame({"a": [True, None]}),
    ]
    assert len({version_of(t) for t in tables}) == len(tables)


def test_a_version_outlives_a_parquet_file(tmp_path: Path) -> None:
    """What is read back has the version that it was written with, nested columns and all."""
    matrix = (["j0", "j1"], [[0.0, 1.5], [1.0, 0.0]], 0.5, 1.5, 1, 2, True)
    rows = pl.DataFrame([("r1", *matrix)] * 3, schema=BATTLE_MATRICES.schema, orient="row")
    for size in (1, 2, 3):
        rows.write_parquet(tmp_path / "t.parquet", row_group_size=size)
        assert version_of(pl.scan_parquet(tmp_path / "t.parquet")) == version_of(rows)


def test_a_large_tables_version_is_of_content_too(tmp_path: Path) -> None:
    """It is read in batches of 20,000 rows, wherever the parts of the table end."""
    rows = pl.DataFrame({"n": range(50_000)}).with_columns(text=pl.format("row {}", "n"))
    parts = [rows.slice(0, 17), rows.slice(17, 30_000), rows.slice(30_017)]
    for i, part in enumerate(parts):
        part.write_parquet(tmp_path / f"{i}.parquet", row_group_size=1_000)
    assert version_of(pl.scan_parquet(tmp_path / "*.parquet")) == version_of(rows)
