"""The report as files: what it says of a finished run and of several, and that no text in it acts."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.results import Results
from mr_assets.lineage.spotcheck import Answer, Key, append, to_ask
from mr_assets.report.page import html, markdown, write
from mr_assets.report.report import report
from mr_assets.runs.estimates import number
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import rematerialized, with_hostile_texts
from mr_assets_tests.report.conftest import a_run

HOSTILE = (
    "</div><script>alert(1)</script> | `a` ```` <img src=x onerror=alert(1)> \x1b[2J [a](javascript:b) \n# head\n| x |"
)


class Elements(HTMLParser):
    """The elements of a page by name, with their attributes; raises if they are not nested as they should be."""

    EMPTY = ("meta",)

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def section(text: str, title: str) -> str:
    """A section of the Markdown."""
    return text.partition(f"## {title}")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def said(finished: Run) -> tuple[str, str]:
    """The page and the Markdown of the finished run."""
    found = report([finished])
    return html(found), markdown(found)


def test_both_say_all_of_it(said: tuple[str, str], finished: Run) -> None:
    page, text = said
    record = finished.record("evaluation", "2")
    assert record is not None
    for form in said:
        assert "From the seed model to M2" in form
        assert "What to do next" in form
        assert number(record.numbers["true_score"]) in form and number(record.numbers["true_score_high"]) in form
        assert "Departures from the paper" in form and "39.44%" in form
        assert finished.recipe.title in form
    assert page.count("<article") == text.count("### ")
    assert 0 < page.count("<article") <= 12
    assert "<svg" in page


def test_the_page_stands_alone(said: tuple[str, str]) -> None:
    """Nothing is loaded, nothing runs, nothing is sent."""
    elements = Elements(said[0]).found
    assert {tag for tag, _ in elements} & {"script", "link", "img", "iframe", "object", "form", "a"} == set()
    assert not any(name.startswith("on") or name in ("src", "href", "style") for _, each in elements for name in each)
    assert "url(" not in said[0] and "@import" not in said[0] and "http" not in said[0].replace("http-equiv", "")


@pytest.mark.slow
def test_the_same_run_gives_the_same_files(run: Run, tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write([run])]
    assert [path.name for path in write([run], tmp_path / "out")] == ["report.html", "report.md"]
    assert [path.read_bytes() for path in write([run], tmp_path / "out")] == first


def test_texts_do_not_act(run: Run) -> None:
    with_hostile_texts(run, HOSTILE)
    found = report([run])
    page, text = html(found), markdown(found)
    assert "alert(1)" in page and "script" not in {tag for tag, _ in Elements(page).found}
    assert "\x1b" not in page + text
    fences = re.findall(r"^(`{3,})text$", text, re.MULTILINE)
    assert fences and min(map(len, fences)) == 3 and max(map(len, fences)) == 5
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "alert" not in outside


def test_a_hostile_title_does_not_act_either(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a", "title=<b onclick=x>|*a*")
    found = report([run])
    assert "b" not in {tag for tag, _ in Elements(html(found)).found}
    assert "\\<b onclick=x\\>\\|\\*a\\*" in markdown(found)


def test_several_runs_are_arms_and_compared(tmp_path: Path) -> None:
    """Gains of 0.4 and 0.3 with seeds 0 and 1; the other recipe gains nothing."""
    runs = [
        a_run(tmp_path, "a"),
        a_run(tmp_path, "b", "seed=1", accuracy={"seed": 0.5, "2": 0.8}),
        a_run(tmp_path, "c", "title=Other", "dpo.beta=0.2", accuracy={"seed": 0.5, "2": 0.5}),
        a_run(tmp_path, "d", "title=Other", "dpo.beta=0.2", "seed=1", accuracy={"seed": 0.5, "2": 0.52}),
    ]
    found = report(runs)
    assert found.title == "4 runs side by side"
    assert "accuracy 0.50 to 0.85 (+0.35, standard error 0.05 over 2 seeds)" in found.said[0]
    assert found.said[2].startswith(f"Other against {runs[0].recipe.title}, M2 of both. ")
    text = markdown(found)
    worth = section(text, "What each model is worth")
    assert f"evaluation, {runs[0].recipe.title}, mean of 2 seeds" in worth
    compared = section(text, "Recipes compared")
    assert re.search(r"accuracy \| 0\.85 \| 0\.51 \| -0\.34 \(± 0\.06\)( \*worse\*)? \| 2 seeds", compared)
    assert html(found).count('class="band"') > 0


def test_a_benchmark_has_a_table_of_its_own_with_its_judge(tmp_path: Path) -> None:
    run = a_run(tmp_path, "a")
    rows = [{"model": m, "score": s, "score_low": s - 1, "score_high": s + 1} for m, s in (("seed", 50), ("M2", 60))]
    Results("arena_hard", "gpt-4.1", rows).write(run.folder)
    text = markdown(report([run]))
    assert "gpt-4.1" not in section(text, "What each model is worth")
    others = section(text, "By one judge for all models")
    assert "arena hard, judged by gpt-4.1" in others
    assert "| score | 50 (49 to 51) | 60 (59 to 61) | +10 (± 0.7) *better* |" in others
    assert "score by gpt-4.1 50 to 60" in text.partition("## What to do next")[0]
    assert "gpt-4.1" not in section(text, "The paper's own figures")


def test_what_is_stale_or_missing_comes_first(run: Run) -> None:
    rematerialized(run, "judgments")
    steps = report([run]).next
    assert steps[0].startswith("Stale: ")
    assert " *stale*" in markdown(report([run]))
    shutil.rmtree(run.path("checkpoints", "2"))
    rematerialized(run, "judgments", "2")
    assert any("Stale" in step for step in report([run]).next)


def test_a_run_that_is_not_done_says_what_goes_on(run: Run) -> None:
    shutil.rmtree(run.path("checkpoints", "2"))
    assert any(step.startswith("Not there yet: M2.") for step in report([run]).next)


def test_a_model_that_is_not_measured_is_told(run: Run) -> None:
    run.record_path("evaluation", "2").unlink()
    assert any("Not there yet: evaluation of M2" in step for step in report([run]).next)


def test_your_answers_are_told_and_shown(run: Run) -> None:
    """You prefer the side that the judge rejected."""
    [asked, *_] = to_ask(run)
    answer: Key = "b" if asked.a == "chosen" else "a"
    append(run, Answer(asked.pair_id, asked.version, asked.a, answer, "2026-11-29T00:00:00+00:00"))
    text = markdown(report([run]))
    row = f"| tiny | actor | {asked.iteration} | 0 | 1 | 0 | 0 (0 to 0.79) |"
    assert row in section(text, "The judge and your own eyes")
    assert f"### You disagree with the judge\n\ntiny/{asked.pair_id}" in text


def test_files_of_several_runs_are_named_after_them(tmp_path: Path) -> None:
    runs = [a_run(tmp_path, name, f"seed={n}") for n, name in enumerate(("a", "b"))]
    assert [path.name for path in write(runs)] == ["report_of_a_and_b.html", "report_of_a_and_b.md"]
    many = [Run(f"a_run_with_a_long_name_{n}", runs[0].recipe, tmp_path) for n in range(8)]
    names = [path.name for path in write(many)]
    assert all(re.fullmatch(r"report_of_8_[0-9a-f]{12}\.(html|md)", name) for name in names)


def test_a_folder_that_cannot_be_written_is_named(finished: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((UserError, OSError), match="file"):
        write([finished], tmp_path / "file")
