"""The figures of a run over its iterations, from records alone."""

from mr_assets.loop import LOOP
from mr_assets.runs.figures import FIGURES, Figure, rows
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete


def figure(name: str) -> Figure:
    [found] = [each for group in FIGURES.values() for each in group if each.name == name]
    return found


def with_numbers(run: Run, asset: str, t: str, **figures: float | str | None) -> None:
    """A record that says so much; the underscores of names are blanks."""
    record = complete(run, asset, t)
    record.numbers.update({name.replace("_", " "): value for name, value in figures.items()})
    write_record(run.record_path(asset, t), record)


def test_a_row_per_iteration_of_which_something_is_there(run: Run) -> None:
    """Chosen of 30 characters over rejected of 20 are 1.5 times as long; what is not there, or off, is not known."""
    assert rows(run, {}) == []
    with_numbers(run, "judgments", "1", mean_score=2.5, parse_rate=0.75)
    with_numbers(run, "actor_pairs", "1", mean_chosen_characters=30.0, mean_rejected_characters=20.0)
    with_numbers(run, "elo_pairs", "1", off="this iteration trains the actor alone")
    [row] = rows(run, {("judgments", "1"): "responses of iteration 1 changed"})
    known = {name: value for name, value in row.values.items() if value is not None}
    assert known == {"mean score": 2.5, "with a score": 0.75, "chosen response, times rejected": 1.5}
    assert set(row.stale) >= {"mean score", "reliability"} and "score gap" not in row.stale
    assert row.why_stale("responses and their scores") == "responses of iteration 1 changed"
    assert row.why_stale("training") is None


def test_figures_are_written_as_a_person_reads_them() -> None:
    assert figure("with a score").shown(0.8764) == "87.6%"
    assert figure("duplicates").shown(1234) == "1,234"
    assert figure("mean score").shown(2.8345) == "2.83"
    assert figure("mean score").shown(None) == "-"


def test_every_figure_has_a_name_of_its_own_and_an_asset() -> None:
    every = [each for group in FIGURES.values() for each in group]
    assert len({each.name for each in every}) == len(every)
    assert {each.asset for each in every} <= set(LOOP.per("iteration"))
