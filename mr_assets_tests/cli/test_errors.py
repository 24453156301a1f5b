"""How a command ends that cannot go on: one message, and a data folder as it was."""

import pytest

from mr_assets.runs.run import Run
from mr_assets_tests.cli.conftest import Mr, Refused, worked
from mr_assets_tests.tiny import NAME


@pytest.mark.parametrize(
    "arguments", [["rum"], ["run", "--speed"], ["report"], ["runs", "remove"], ["ui", "--port", "x"]]
)
def test_wrong_usage(refused: Refused, arguments: list[str]) -> None:
    assert "Usage: " in refused(*arguments)


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("relative", "DAGSTER_HOME is 'relative', expected an absolute path"),
        ("tiny/recipe.yaml/home", "recipe.yaml/home cannot be written"),
    ],
)
def test_a_dagster_home_that_cannot_be_used(
    mr: Mr, refused: Refused, launched: Run, monkeypatch: pytest.MonkeyPatch, home: str, said: str
) -> None:
    """Nothing runs; `mr status` shows what the records say, and why it does not know the rest."""
    monkeypatch.setenv("DAGSTER_HOME", home if home == "relative" else str(launched.data / home))
    assert said in refused("run", NAME)
    shown = " ".join(worked(mr("status", "tiny")).split())
    assert "failed or was interrupted is not known" in shown
    assert said.split()[0] in shown
