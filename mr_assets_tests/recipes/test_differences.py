"""In which fields two recipes differ."""

from mr_assets.recipes.differences import differences
from mr_assets.recipes.load import load_recipe, with_iterations
from mr_assets.recipes.recipe import Iteration
from mr_assets_tests.recipes.conftest import DEFAULT


def test_differences() -> None:
    """Drift is named by path, rows from 1; a row that one side lacks is one difference."""
    old = load_recipe(DEFAULT)
    new = with_iterations(load_recipe(DEFAULT, ["beta=0.2", "iterations.3.rho=0.25", "evaluation=null"]), 5)
    found = differences(old, new)
    assert differences(old, old) == []
    assert [d.path for d in found] == ["dpo.beta", "iterations.3.rho", "iterations.5", "evaluation"]
    assert found[0][1:] == (0.1, 0.2)
    assert found[2].old is None and Iteration(**found[2].new) == new.row(5)
    assert found[3].new is None
