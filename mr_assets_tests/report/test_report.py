"""The report as a whole: its title, what it says first, and which sections it has."""

from pathlib import Path

from mr_assets.report.page import markdown
from mr_assets.report.report import report
from mr_assets.runs.run import Run
from mr_assets_tests.report.conftest import a_run, measure
from mr_assets_tests.tiny import tiny_run

RECIPE, PAPER = "Recipe, versions, seed and hours", "The paper's own figures (Wu et al. 2024, Table 1)"


def accuracy(run: Run, **models: float) -> Run:
    """A run of whose models this is known, with an interval of 0.05 to either side; m0 is M0."""
    for model, value in models.items():
        numbers = {"accuracy": value, "accuracy_low": value - 0.05, "accuracy_high": value + 0.05}
        measure(run, "evaluation", model.removeprefix("m"), numbers)
    return run


def test_of_a_run_that_has_made_nothing_nothing_is_known(tmp_path: Path) -> None:
    """What it is made of is there all the same; sections with nothing in them are not."""
    found = report([tiny_run(tmp_path)])
    assert (found.title, found.said) == ("tiny", ["Nothing is known of it yet."])
    titles = [each.title for each in found.sections]
    assert titles == [RECIPE, PAPER]


def test_a_run_is_told_from_the_seed_model_to_its_last_one(tmp_path: Path) -> None:
    run = accuracy(tiny_run(tmp_path), seed=0.5, m0=0.25, m1=0.75)
    found = report([run])
    [told] = found.said
    assert told.startswith("From the seed model to M1. Better by more than noise: accuracy 0.50 to 0.75 (+0.25, ")
    titles = [each.title for each in found.sections]
    assert titles == ["What each model is worth", "Curves", RECIPE, PAPER]


def test_without_the_seed_model_the_records_of_the_iterations_are_told(tmp_path: Path) -> None:
    """M1 alone says nothing of what changed."""
    run = accuracy(tiny_run(tmp_path), m1=0.75)
    for t, characters in (("1", 40.0), ("2", 50.0)):
        measure(run, "responses", t, {"mean characters": characters})
    assert report([run]).said == [
        "From iteration 1 to 2: characters 40 to 50. These are the run's own figures, by the judge that it trains: "
        "none of them says whether a model got better."
    ]


def test_runs_that_differ_in_their_seeds_are_one_paragraph(tmp_path: Path) -> None:
    """Gains of 0.25 and 0.5. Two runs of one recipe need no name, and what each is made of has one."""
    runs = [Run(name, tiny_run(tmp_path, f"seed={seed}").recipe, tmp_path) for seed, name in enumerate(("a", "b"))]
    for run, last in zip(runs, (0.75, 1.0), strict=True):
        accuracy(run, seed=0.5, m1=last)
    found = report(runs)
    assert found.title == "2 runs side by side"
    [told] = found.said
    assert told.startswith("From the seed model to M1, 2 seeds. ") and "accuracy 0.50 to 0.88 (+0.38, " in told
    assert [each.title for each in found.sections][-3:] == [f"{RECIPE} of a", f"{RECIPE} of b", PAPER]


def test_recipes_have_a_paragraph_each_and_one_that_compares_them(tmp_path: Path) -> None:
    """By their titles; of what has not begun nothing is known."""
    first = accuracy(Run("a", tiny_run(tmp_path).recipe, tmp_path), seed=0.5, m1=0.75)
    other = accuracy(Run("b", tiny_run(tmp_path, "title=Other", "dpo.beta=0.2").recipe, tmp_path), seed=0.5, m1=0.5)
    third = Run("c", tiny_run(tmp_path, "title=Third", "dpo.beta=0.3").recipe, tmp_path)
    title = first.recipe.title
    said = report([first, other, third]).said
    assert [each.partition(". ")[0] for each in said] == [
        f"{title}: From the seed model to M1",
        "Other: From the seed model to M1",
        "Third: Nothing is known of it yet.",
        f"Other against {title}, M1 of both",
    ]
    assert "Worse by more than noise: accuracy 0.75 to 0.50 (-0.25, " in said[3]


def test_a_run_without_a_world_tells_no_improvement(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", "evaluation=null", accuracy={})
    text = markdown(report([run]))
    assert "Better" not in text and "nothing measures whether the models got better" in text.lower()
