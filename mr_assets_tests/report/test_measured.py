"""What is known of models: of any asset that there is one of per model, and of benchmarks."""

from pathlib import Path

import polars as pl

from mr_assets.evaluation.results import Results
from mr_assets.report.measured import Key, measured
from mr_assets.runs.estimates import Estimate
from mr_assets_tests.report.conftest import a_run, measure
from mr_assets_tests.tiny import complete


def test_figures_of_an_asset_by_model(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    found = measured(run, {("evaluation", "2"): "why"})[Key("evaluation", "accuracy")]
    assert found.values["M1"] == Estimate(0.7, 0.7 - 0.05, 0.7 + 0.05)
    assert (list(found.values), found.stale) == (["seed", "M0", "M1", "M2"], {"M2"})


def test_a_record_that_names_a_judge_is_that_judges(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    measure(run, "evaluation", "1", {"win_rate": 0.6, "judge": "the seed model", "prompts": 40})
    assert list(measured(run, {})) == [Key("evaluation", "win_rate", "the seed model")]


def test_values_by_prompt_are_those_of_which_the_figure_is_the_mean(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    measure(run, "evaluation", "1", {"win": 0.5, "other": 0.9})
    rows = {"prompt_id": ["p", "p", "q"], "win": [0.0, 0.5, 0.75], "other": [0.0, 0.0, 0.0]}
    pl.DataFrame(rows).write_parquet(run.path("evaluation", "1"))
    found = measured(run, {})
    assert found[Key("evaluation", "win")].by_prompt == {"M1": {"p": 0.25, "q": 0.75}}
    assert found[Key("evaluation", "other")].by_prompt == {}


def test_a_benchmark_names_its_judge(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    rows = [{"model": "M1", "score": 60.0, "score_low": 55.0, "score_high": 65.0}]
    rows += [{"model": "seed", "score": 50.0, "questions": 3}, {"model": "gpt-4-0314", "score": 50.0}]
    Results("arena_hard", "gpt-4.1", rows).write(run.folder)
    found = measured(run, {})[Key("arena_hard", "score", "gpt-4.1")]
    assert list(found.values.items()) == [
        ("seed", Estimate(50.0)),
        ("M1", Estimate(60.0, 55.0, 65.0)),
        ("gpt-4-0314", Estimate(50.0)),
    ]


def test_a_result_of_another_model_than_the_one_that_lies_there_is_stale(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    rows = [{"model": model, "score": 1.0} for model in ("seed", "M1", "M2")]
    Results("b", "j", rows, {"models": {"seed": "s", "M1": "v1", "M2": "another"}}).write(run.folder)
    assert measured(run, {})[Key("b", "score", "j")].stale == {"M2"}


def test_the_column_of_a_win_rate_is_its_preference(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    measure(run, "evaluation", "1", {"win_rate": 0.75})
    pl.DataFrame({"prompt_id": ["p", "q"], "preference": [1.0, 0.5]}).write_parquet(run.path("evaluation", "1"))
    assert measured(run, {})[Key("evaluation", "win_rate")].by_prompt == {"M1": {"p": 1.0, "q": 0.5}}


def test_a_model_that_is_not_measured_has_no_figure(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", accuracy={})
    complete(run, "evaluation", "1")
    assert measured(run, {}) == {}


def test_speed_and_what_another_asset_has_tell_nothing_of_a_model(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", "held_out={source: world, prompts: 4, per_prompt: 2}", "probe={}", accuracy={})
    measure(run, "probe_judgments", "1", {"tokens per second": 400.5, "mean score": 2.5, "parse rate": 0.9})
    assert list(measured(run, {})) == [Key("probe_judgments", "parse rate")]


def test_values_of_an_evaluation_are_by_question(tmp_path: Path) -> None:
    """Two models that were asked as many questions are compared question by question."""
    run = a_run(tmp_path, "a", accuracy={})
    for model, each in (("1", [1.0, 0.0, 0.5]), ("2", [1.0, 1.0])):
        measure(run, "evaluation", model, {"accuracy": sum(each) / len(each), "true_score": 4.0})
        rows = {"model": [f"M{model}"], "accuracy_each": [each], "true_score_each": [[1.0] * 3]}
        pl.DataFrame(rows).write_parquet(run.path("evaluation", model))
    found = measured(run, {})
    assert found[Key("evaluation", "accuracy")].by_prompt == {
        "M1": {"1 of 3": 1.0, "2 of 3": 0.0, "3 of 3": 0.5},
        "M2": {"1 of 2": 1.0, "2 of 2": 1.0},
    }
    assert found[Key("evaluation", "true_score")].by_prompt == {}  # their mean is not the figure
