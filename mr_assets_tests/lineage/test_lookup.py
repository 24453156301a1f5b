"""Ids: what they stand for, and which run has them."""

import pytest

from mr_assets.errors import UserError
from mr_assets.lineage.lookup import Id, located, parsed
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table

P = "3f1c09aa72be"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (P, Id(P, "prompt", None, P)),
        (f"2.{P}", Id(P, "prompt", "2", P)),
        (f"2.{P}.r4", Id(f"2.{P}.r4", "response", "2", P)),
        (f"2.{P}.r4.j10", Id(f"2.{P}.r4.j10", "judgment", "2", P)),
        (f"2.{P}.r4.j10-j3", Id(f"2.{P}.r4.j10-j3", "battle", "2", P)),
        (f"2.{P}.actor", Id(f"2.{P}.actor", "pair", "2", P)),
        (f"2.{P}.judge", Id(f"2.{P}.judge", "pair", "2", P)),
        ("M2", Id("M2", "model", "2")),
        ("2", Id("M2", "model", "2")),
        ("0", Id("M0", "model", "0")),
    ],
)
def test_an_id_says_what_it_is(text: str, expected: Id) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", f"{P}.r1", f"2.{P}.r", f"2.{P}.r1.j", f"2.{P}.r1\n", "../../etc", "M", f"2.{P}."]
)
def test_what_is_none_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UserError, match=r"is no id\. Expected a pair"):
        parsed(text)


def test_what_was_typed_is_not_obeyed_by_the_terminal() -> None:
    """The message shows the id that was given, spelled out."""
    with pytest.raises(UserError, match="is no id") as error:
        parsed("\x1b[2J")
    assert "\x1b" not in str(error.value)


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
