"""AlpacaEval 2: the official files are read, and the figures agree with the official leaderboard."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.alpaca_eval import read_annotations, score
from mr_assets_tests.evaluation.difficulty import difficulties

REAL = Path(__file__).parents[3] / "shared" / "alpaca_eval"  # real annotations, where a developer has put them


def annotation(preference: Any = 1.5, reference: str = "four", model: str = "sixsix", **other: Any) -> dict[str, Any]:
    return {"output_1": reference, "output_2": model, "preference": preference, "generator_1": "gpt4"} | (
        {"generator_2": "mine"} | other
    )


def written(folder: Path, rows: Any, name: str = "annotations.json") -> Path:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)) if name.endswith("l") else json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["annotations.json", "annotations.jsonl"])
def test_it_reads_what_the_official_tool_writes(tmp_path: Path, name: str) -> None:
    rows = [annotation(1.25), annotation(None, "", "é"), annotation(2, generator_2="other")]
    found = read_annotations(written(tmp_path, rows, name))
    assert found["mine"].rows() == [(1.25, 4, 6), (None, 0, 1)]
    assert found["other"].rows() == [(2.0, 4, 6)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "expected a list"),
        ({"preference": 1}, "expected a list"),
        ([{"output_1": "a", "preference": 1}], "annotation 1: has no output_2"),
        (["text"], "annotation 1: has no output_1, output_2, preference"),
        ([annotation(), annotation(2.5)], "annotation 2: preference is 2.5. Expected 1 "),
        ([annotation("1")], "preference is '1'"),
        ([annotation(True)], "preference is True"),
        ([annotation(float("nan"))], "preference is nan"),
        ([annotation() | {"output_2": 3}], "output_2 is 3. Expected a text"),
        ([annotation(), annotation(generator_1="gpt3")], "mine is compared with 2 references (gpt3, gpt4)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, rows: Any, said: str) -> None:
    with pytest.raises(UserError) as refusal:
        read_annotations(written(tmp_path, rows))
    assert said in str(refusal.value).replace("\n", " ")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be read"):
        read_annotations(tmp_path / "missing.json")
    (tmp_path / "broken.json").write_text("[{", encoding="utf-8")
    with pytest.raises(UserError, match="could not be read"):
        read_annotations(tmp_path / "broken.json")


def table(preference: list[float | None], chars: int = 100) -> pl.DataFrame:
    count = len(preference)
    return pl.DataFrame(
        {"preference": preference, "reference_chars": [100] * count, "model_chars": [chars] * count},
        {"preference": pl.Float64, "reference_chars": pl.Int64, "model_chars": pl.Int64},
    )


def test_the_win_rate_is_the_official_one() -> None:
    """Lost, won, a draw written as 0, three quarters won: (0 + 1 + 0.5 + 0.75) / 4; what has none counts nowhere."""
    found = score("mine", table([1, 2, 0, None, 1.75], chars=70))
    assert found.win_rate == pytest.approx(56.25)
    assert (found.rows, found.missing, found.average_length) == (4, 1, 70)
    low, high = found.win_rate_interval
    assert low < 56.25 < high


def test_the_same_annotations_give_the_same_intervals() -> None:
    assert score("mine", table([1.1, 1.9] * 20)) == score("mine", table([1.1, 1.9] * 20))


def test_more_rows_than_instructions_and_none_are_refused() -> None:
    with pytest.raises(UserError, match=r"806 annotations\. AlpacaEval has 805"):
        score("mine", table([1.5] * 806))
    with pytest.raises(UserError, match="no annotation has a preference"):
        score("mine", table([None, None]))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real annotations are not here")
def test_forty_models_agree_with_the_official_leaderboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Win rates to 1e-6; length-controlled within 1.5 points on average (0.2 were seen), ranks by 0.99."""
    monkeypatch.setattr("mr_assets.evaluation.alpaca_eval.RESAMPLES", 2)  # nobody looks at the intervals
    every = pl.read_parquet(REAL / "annotations.parquet").sort("index")
    every = every.rename({"len_reference": "reference_chars", "len_model": "model_chars"})
    official, ours = [], []
    for name, win_rate, length_controlled, *_ in pl.read_csv(REAL / "leaderboard.csv").rows():
        found = score(name, every.filter(pl.col("model") == name))
        assert found.win_rate == pytest.approx(win_rate, abs=1e-6)
        official.append(length_controlled)
        ours.append(found.length_controlled)
    assert np.abs(np.subtract(official, ours)).mean() < 0.5
    ranks = [np.argsort(np.argsort(each)) for each in (official, ours)]
    assert np.corrcoef(ranks)[0, 1] > 0.99


def test_difficulties_are_found_from_models_whose_terms_are_known() -> None:
    """Sixty models that differ in quality alone, on instructions of known difficulty; what has no row keeps 0."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1, 20)
    terms = pl.DataFrame(
        {"model": [f"m{i}" for i in range(60)], "length": -1.5, "hard": 1.0, "quality": rng.normal(0, 1, 60)}
    )
    rows = terms.select("model", "quality").join(pl.DataFrame({"index": range(20), "true": hard}), how="cross")
    rows = rows.with_columns(
        preference=1 + 1 / (1 + (-(pl.col("quality") + pl.col("true"))).exp()),
        len_reference=100,
        len_model=pl.col("index") + 1,
    )
    difference = 99 - rows["index"].head(20)
    length = -1.5 * (difference / difference.std()).tanh()
    found = difficulties(rows, terms)
    assert found[:20] == pytest.approx(hard - length.to_numpy(), abs=0.15)
    assert not found[20:].any()
