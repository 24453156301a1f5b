"""The commands that ask about rows: what `mr compare` refuses."""

from pathlib import Path

import pytest

from mr_assets.runs.run import Run
from mr_assets.runs.stored import save
from mr_assets_tests.cli.conftest import Refused
from mr_assets_tests.tiny import tiny_run


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["tny"], "there is no run 'tny'. Runs: tiny."),
        (["tiny", "tny"], "there is no run 'tny'. Runs: tiny."),
        (["tiny", "tiny", "--set", "rho=0.3"], "leave OTHER or --set out"),
        (["tiny", "--set", "rho=3"], "iterations.1.rho = 3: should be less than or equal to 1"),
        (["tiny", "--set", "rhoo=3"], "Did you mean rho"),
        (["tiny", "--set", "rho"], "expected key=value"),
        (["tiny", "--iteration", "7"], "run tiny has iterations 1 to 2"),
    ],
)
def test_a_comparison_that_cannot_be(refused: Refused, launched: Run, arguments: list[str], part: str) -> None:
    assert part in refused("compare", *arguments)


def test_a_comparison_before_there_are_pairs(refused: Refused, data: Path) -> None:
    save(tiny_run(data))
    assert "there are no pairs to compare yet. Materialize actor_pairs of tiny." in refused("compare", "tiny")
    assert "no actor pairs of iteration 1 yet. Iterations that have them: none" in refused(
        "compare", "tiny", "--iteration", "1"
    )
