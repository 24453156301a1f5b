"""Judgments beside what was judged, on a table of three."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.export.judgments import judgments
from mr_assets.runs.run import Run
from mr_assets_tests.tiny import complete, stored, tiny_run

P, Q = "3f1c09aa72be", "77d0b8c1e2f3"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = tiny_run(tmp_path)
    stored(run, "prompts", "1", [{"prompt_id": i, "prompt": text} for i, text in ((Q, "Sing."), (P, "Name a river."))])
    answered = [(P, 0, "The Rhine."), (P, 1, "A lake."), (Q, 0, "La.")]
    rows = [{"response_id": f"1.{p}.r{k}", "prompt_id": p, "k": k, "response": text} for p, k, text in answered]
    stored(run, "responses", "1", rows)
    judged = [(P, 1, 0, "Score: 1", 1.0, None, "stop"), (P, 1, 1, "It is", None, "no_score", "length")]
    judged.append((Q, 0, 0, "Score: 3", 3.0, None, "stop"))
    rows = []
    for prompt, k, n, text, score, invalid, how in judged:
        of = {"judgment_id": f"1.{prompt}.r{k}.j{n}", "response_id": f"1.{prompt}.r{k}", "n": n}
        rows.append({**of, "judgment": text, "score": score, "invalid": invalid, "finish_reason": how})
    stored(run, "judgments", "1", rows)
    return run


def test_every_judgment_stands_with_its_prompt_and_response(run: Run) -> None:
    """Also one without a score, with why; in the order of the table. What was not judged is not there."""
    river = ("Name a river.", "A lake.")
    of = (f"1.{P}.r1", P)
    found = judgments(run, "1")
    assert found.columns[:6] == ["prompt", "response", "judgment", "score", "invalid", "finish_reason"]
    assert found.rows() == [
        (*river, "Score: 1", 1.0, None, "stop", f"1.{P}.r1.j0", *of),
        (*river, "It is", None, "no_score", "length", f"1.{P}.r1.j1", *of),
        ("Sing.", "La.", "Score: 3", 3.0, None, "stop", f"1.{Q}.r0.j0", f"1.{Q}.r0", Q),
    ]


@pytest.mark.parametrize("asset", ["responses", "prompts"])
def test_judgments_of_what_is_there_no_more_are_refused(run: Run, asset: str) -> None:
    complete(run, asset, "1", version="v2")
    with pytest.raises(UserError) as error:
        judgments(run, "1")
    assert str(error.value) == (
        f"judgments of iteration 1 of tiny are not of the {asset} that are there now. Materialize them again (`mr run` "
        "does)."
    )
