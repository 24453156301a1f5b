"""The few figures that tell a run at a glance: of the models, and of the iterations; what is stale is no figure."""

from pathlib import Path

from mr_assets.loop import Place
from mr_assets.report.headline import headline
from mr_assets.runs.estimates import Estimate
from mr_assets_tests.report.conftest import measure
from mr_assets_tests.tiny import tiny_run


def test_figures_by_model_and_by_iteration(tmp_path: Path) -> None:
    """By the names that a person reads; of other figures of the same records none is told."""
    run = tiny_run(tmp_path)
    for key, worth in (("seed", 1.0), ("0", 2.0), ("2", 4.0)):
        measure(run, "evaluation", key, {"true_score": worth, "true_score_low": 0.5, "true_score_high": 4.5, "ties": 3})
    measure(run, "evaluation", "1", {"judge_exact": 0.75})
    measure(run, "responses", "2", {"mean characters": 40.5, "duplicates": 3})
    measure(run, "judgments", "1", {"score reliability": 0.9})
    assert headline(run, {}) == {
        "true score": {m: Estimate(w, 0.5, 4.5) for m, w in (("seed", 1.0), ("M0", 2.0), ("M2", 4.0))},
        "judge exact": {"M1": Estimate(0.75)},
        "characters": {"2": Estimate(40.5)},
        "reliability": {"1": Estimate(0.9)},
    }


def test_what_is_stale_is_left_out(tmp_path: Path) -> None:
    """Of the artifact alone: characters of another iteration stay."""
    run = tiny_run(tmp_path)
    for key in ("seed", "1"):
        measure(run, "evaluation", key, {"true_score": 1.5})
    for t in ("1", "2"):
        measure(run, "responses", t, {"mean characters": 40.0})
    old: dict[Place, str] = {("evaluation", "1"): "n changed"}
    old["responses", "1"] = "k changed"
    assert headline(run, old) == {"true score": {"seed": Estimate(1.5)}, "characters": {"2": Estimate(40.0)}}


def test_win_rates_are_told_by_runs_that_have_them(tmp_path: Path) -> None:
    """Others have a record of an earlier recipe at most."""
    sets = ("held_out={source: world, prompts: 4, per_prompt: 2}", "win_rates={judge: world}")
    run, without = tiny_run(tmp_path, *sets), tiny_run(tmp_path)
    measure(run, "win_rates", "1", {"win_rate": 0.6, "characters": 50.0})
    assert headline(run, {}) == {"win rate": {"M1": Estimate(0.6)}}
    assert headline(without, {}) == {}


def test_a_run_that_has_made_nothing_has_no_headline(tmp_path: Path) -> None:
    assert headline(tiny_run(tmp_path), {}) == {}
