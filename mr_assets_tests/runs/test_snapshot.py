"""A run whose records are read once."""

from dataclasses import replace

from mr_assets.runs.run import Run
from mr_assets.runs.snapshot import Snapshot
from mr_assets_tests.tiny import complete

TABLE = ("responses", "1")


def test_it_is_the_same_run(run: Run) -> None:
    """All that a run knows of itself, also what its launch noted."""
    launched = replace(run, launched_family="mine", origin=("small_world", "seed=1"), as_recipe=True, further=())
    found = Snapshot.of(launched)
    assert isinstance(found, Run)
    assert replace(launched, name="other") != launched
    for name in ("name", "recipe", "data", "launched_family", "origin", "as_recipe", "further", "family"):
        assert getattr(found, name) == getattr(launched, name)
    assert found.path(*TABLE) == run.path(*TABLE)


def test_a_record_is_of_the_moment_when_it_was_first_asked_for(run: Run) -> None:
    """Also that there was none. What is asked for later is read then, and a new snapshot sees what is there now."""
    complete(run, *TABLE, version="v1")
    then = Snapshot.of(run)
    first = then.record(*TABLE)
    assert first is not None and first.version == "v1"
    assert then.record("responses", "2") is None
    for partition in ("1", "2"):
        complete(run, "responses", partition, version="v2")
    assert then.record(*TABLE) == first
    assert then.record("responses", "2") is None
    assert then.inputs("judgments", "1")["responses"] == "v1"
    assert Snapshot.of(run).inputs("judgments", "1")["responses"] == "v2"


def test_damage_is_looked_for_once_but_by_content_each_time(run: Run) -> None:
    """The table is removed after the first look, and the record stays."""
    complete(run, *TABLE)
    then = Snapshot.of(run)
    assert then.damage(*TABLE) == ""
    run.path(*TABLE).unlink()
    assert then.damage(*TABLE) == ""
    assert str(run.path(*TABLE)) in then.damage(*TABLE, content=True)
    assert str(run.path(*TABLE)) in Snapshot.of(run).damage(*TABLE)
    assert then.damage("responses", "2") == ""
