"""Which run has an id."""

import pytest

from mr_assets.errors import UserError
from mr_assets.lineage.lookup import located
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table


def test_an_id_that_two_runs_have_is_refused_with_the_choices(finished: Run) -> None:
    """Runs of one recipe share prompts, and with them ids; run/id says which is meant."""
    other = Run("other", finished.recipe, finished.data, finished.family)
    (finished.data / "other").symlink_to(finished.folder)
    try:
        runs = {"tiny": finished, "other": other}
        response = table(finished, "responses")["response_id"][0]
        with pytest.raises(UserError, match=f"2 runs have .* Say which: tiny/{response}, other/{response}"):
            located(response, runs)
        assert located(f"other/{response}", runs)[0].name == "other"
        assert located(f"other/{response}", runs)[1].text == response
    finally:
        (finished.data / "other").unlink()


@pytest.mark.parametrize("kind", ["prompt", "response", "judgment", "battle", "pair", "model"])
def test_an_id_that_no_run_has_is_refused(finished: Run, kind: str) -> None:
    """It says what kind of thing is not there, and where to look."""
    none = {
        "prompt": "0" * 12,
        "response": f"1.{'0' * 12}.r0",
        "judgment": f"1.{'0' * 12}.r0.j0",
        "battle": f"1.{'0' * 12}.r0.j0-j1",
        "pair": f"1.{'0' * 12}.actor",
        "model": "M9",
    }
    with pytest.raises(UserError, match=f"there is no {kind} {none[kind]} in any run \\(tiny\\). "):
        located(none[kind], {"tiny": finished})


def test_an_unknown_run_is_refused(finished: Run) -> None:
    with pytest.raises(UserError, match=r"there is no run 'tinny'.*Did you mean tiny"):
        located("tinny/M1", {"tiny": finished})


def test_no_path_comes_of_an_id(finished: Run) -> None:
    """What is before the slash is looked up among the runs, never on the disk."""
    for text in ("../tiny/M1", "/etc/M1", "./M1"):
        with pytest.raises(UserError, match="there is no run"):
            located(text, {"tiny": finished})
