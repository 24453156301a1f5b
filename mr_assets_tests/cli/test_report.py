"""The tables of `mr report`: what each model has learnt, pairs, seconds; what is stale says so."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mr_assets.cli.report import meta_judge_tables
from mr_assets.errors import UserError
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Mr, Refused, as_json, said, worked
from mr_assets_tests.tiny import complete


def test_report_of_an_unfinished_run(mr: Mr, launched: Run) -> None:
    """The tables of what is there; the evaluation's figures come from its record."""
    numbers = {"true_score": 2.5, "accuracy": 0.5, "characters": 20.0, "judge_exact": 0.4, "judge_spearman": 0.3}
    for model in ("seed", "0"):
        record = complete(launched, "evaluation", model)
        record.numbers.update({**numbers, "meta_accuracy": 0.6, "meta_first": 0.5})
        write_record(launched.record_path("evaluation", model), record)
    shown = said(mr("report", "tiny"))
    assert re.search(r"seed .*2\.50 .*0\.50 .*20 .*0\.40 .*0\.30 .*0\.60 .*0\.50", shown)
    assert "preference pairs per iteration" in shown
    assert "seconds per stage" in shown


def test_scores_of_a_model_that_was_trained_again_say_so(mr: Mr, done: Run) -> None:
    """M1 was trained again after it was evaluated: its scores are of another model, and M2 came of the old one."""
    assert "stale" not in said(mr("report", "tiny"))
    complete(done, "checkpoints", "1", version="v2")
    shown = said(mr("report", "tiny"))
    learnt = shown.partition("preference pairs")[0]
    assert re.search(r"M1, stale", learnt)
    assert re.search(r"M2, stale", learnt)
    assert not re.search(r"(seed|M0), stale", learnt)
    assert "  evaluation of M1: checkpoints of iteration 1 changed\n" in shown
    models = as_json(mr("report", "tiny", "--json"))["models"]
    assert [(m["model"], bool(m["stale"])) for m in models] == [
        ("seed", False),
        ("M0", False),
        ("M1", True),
        ("M2", True),
    ]


def test_pairs_and_times_that_are_stale_say_so(mr: Mr, done: Run) -> None:
    complete(done, "judgments", "2", version="v2")
    shown = said(mr("report", "tiny")).partition("preference pairs")[2]
    assert shown.count("2, stale") >= 2  # pairs and seconds
    assert "1, stale" not in shown
    found = as_json(mr("report", "tiny", "--json"))
    assert [bool(p["stale"]) for p in found["pairs"]] == [False, True]
    assert {s["asset"] for s in found["seconds"] if s["stale"]} >= {"actor_pairs", "dpo_dataset", "checkpoints"}


def scored(run: Run, t: str, mean: float, reliability: float) -> None:
    """The record of judgments that says so."""
    record = complete(run, "judgments", t)
    record.numbers.update({"mean score": mean, "score reliability": reliability})
    write_record(run.record_path("judgments", t), record)


def test_a_run_without_a_world_shows_what_its_records_know(mr: Mr, launched: Run) -> None:
    """Scores and their reliability per iteration, no truth; for programs by name."""
    scored(launched, "1", 2.84, 0.94)
    shown = said(mr("report", "tiny"))
    assert "responses and their scores, per iteration" in shown and "training, per iteration" not in shown
    assert re.search(r"1 .* 2\.84 .* 0\.94 ", shown)
    row, *_ = as_json(mr("report", "tiny", "--json"))["figures"]
    assert (row["iteration"], row["mean score"], row["reliability"], row["loss"]) == ("1", 2.84, 0.94, None)
    assert row["stale"] is None


def test_several_runs_stand_below_each_other(mr: Mr, launched: Run, refused: Refused) -> None:
    """By iteration, then in the order that was asked for; a name that is none is said."""
    other = Run("other", launched.recipe, launched.data)
    save(other)
    scored(launched, "1", 2.84, 0.94)
    scored(launched, "2", 3.5, 0.97)
    scored(other, "1", 1.25, 0.5)
    shown = said(mr("report", "other", "tiny"))
    assert re.findall(r"(\d) +.? *(tiny|other)\b.*?(\d\.\d+)", shown) == [
        ("1", "other", "1.25"),
        ("1", "tiny", "2.84"),
        ("2", "tiny", "3.5"),
    ]
    found = as_json(mr("report", "other", "tiny", "--json"))
    assert [each["run"] for each in found] == ["other", "tiny"]
    assert "there is no run 'third'" in refused("report", "tiny", "third")


def test_figures_that_are_stale_say_so(mr: Mr, done: Run) -> None:
    scored(done, "1", 2.84, 0.94)
    complete(done, "responses", "1", version="v2")
    table = said(mr("report", "tiny")).partition("responses and their scores")[2].partition("seconds per stage")[0]
    assert "1, stale" in table
    [first, *_] = as_json(mr("report", "tiny", "--json"))["figures"]
    assert first["stale"]["mean score"] == "responses of iteration 1 changed"


def test_the_report_is_written_into_the_runs_folder_or_where_one_says(mr: Mr, done: Run, data: Path) -> None:
    shown = said(mr("report", "tiny"))
    assert f"Wrote {done.folder / 'report.html'}" in shown.replace("\n", "")
    assert (done.folder / "report.html").is_file() and (done.folder / "report.md").is_file()
    said(mr("report", "tiny", "--out", data / "elsewhere"))
    assert sorted(path.name for path in (data / "elsewhere").iterdir()) == ["report.html", "report.md"]


def test_for_programs_nothing_is_written(mr: Mr, done: Run) -> None:
    as_json(mr("report", "tiny", "--json"))
    assert not (done.folder / "report.html").exists()


def test_the_meta_judges_biases_stand_as_in_table_5(mr: Mr, done: Run) -> None:
    """Of the iterations that train the judge, each share with its interval; no table of a run without any."""
    assert "Table 5" not in said(mr("report", "tiny"))
    record = done.record("meta_judgments", "1")
    assert record is not None
    shares = {"higher score wins": 0.63, "higher score wins_low": 0.6, "higher score wins_high": 0.66}
    numbers = {**shares, "first position wins": 0.44, "decisive battles": 1234}
    write_record(done.record_path("meta_judgments", "1"), replace(record, numbers=numbers))
    [table] = meta_judge_tables(done)
    assert table.rows == [("1", "0.63 (0.60 to 0.66)", "-", "-", "0.44", "1,234")]
    assert "the meta-judge's biases, with 95% intervals (Table 5)" in said(mr("report", "tiny"))


def test_a_folder_that_cannot_be_written_keeps_nobody_from_reading(
    mr: Mr, launched: Run, refused: Refused, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The tables are shown, and a note says that there is no page; the folder of --out is to be written."""

    def full(runs: Sequence[Run], folder: Path | None) -> list[Path]:
        raise UserError(f"{folder or runs[0].folder} cannot be written.")

    monkeypatch.setattr("mr_assets.report.page.write", full)
    shown = worked(mr("report", "tiny"))
    assert "seconds per stage" in shown
    assert f"the page is not written: {launched.folder} cannot be written. --out names another folder" in shown
    assert "cannot be written" in refused("report", "tiny", "--out", str(tmp_path / "elsewhere"))
