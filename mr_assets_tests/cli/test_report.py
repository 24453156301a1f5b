"""The tables of `mr report`: what each model has learnt, pairs, seconds; what is stale says so."""

import re

from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets_tests.cli.conftest import Mr, as_json, said
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
    assert "out of date" not in said(mr("report", "tiny"))
    complete(done, "checkpoints", "1", version="v2")
    shown = said(mr("report", "tiny"))
    learnt = shown.partition("preference pairs")[0]
    assert re.search(r"M1, out of date", learnt)
    assert re.search(r"M2, out of date", learnt)
    assert not re.search(r"(seed|M0), out of date", learnt)
    assert "  evaluation of M1: checkpoints of iteration 1 changed\n" in shown
    models = as_json(mr("report", "tiny", "--json"))["models"]
    assert [(m["model"], bool(m["stale"])) for m in models] == [
        ("seed", False),
        ("M0", False),
        ("M1", True),
        ("M2", True),
    ]


def test_pairs_and_times_that_are_out_of_date_say_so(mr: Mr, done: Run) -> None:
    complete(done, "judgments", "2", version="v2")
    shown = said(mr("report", "tiny")).partition("preference pairs")[2]
    assert shown.count("2, out of date") >= 2  # pairs and seconds
    assert "1, out of date" not in shown
    found = as_json(mr("report", "tiny", "--json"))
    assert [bool(p["stale"]) for p in found["pairs"]] == [False, True]
    assert {s["asset"] for s in found["seconds"] if s["stale"]} >= {"actor_pairs", "dpo_dataset", "checkpoints"}
