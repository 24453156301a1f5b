"""What the pages are made of: addresses, the list and where a pair is in it, what an id's page shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.errors import UserError
from mr_assets.explorer.pages import (
    Around,
    Dagster,
    Listing,
    around,
    evaluations,
    grouped,
    makers,
    one_of,
    page_count,
    page_number,
    raw_text,
    round_view,
    shifted,
    side_by_side,
    summary,
)
from mr_assets.ids import Kind, PairKind
from mr_assets.lineage import trace
from mr_assets.lineage.facts import Descent, Lineage, Model, Prompt, Provenance, Round
from mr_assets.lineage.pairs import SCHEMA
from mr_assets.runs.estimates import Estimate
from mr_assets.runs.run import Run
from mr_assets_tests.explorer.conftest import UI
from mr_assets_tests.lineage.conftest import table
from mr_assets_tests.report.conftest import measure
from mr_assets_tests.tiny import tiny_recipe, tiny_run

NOWHERE = Path("nowhere")
"""A data folder that what is tested does not look into."""
A, B, C = (f"1.{prompt}.actor" for prompt in ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"))


def by(asset: str, partition: str | None = "1") -> Provenance:
    return Provenance(asset, partition, f"run of {asset}", "2026-11-30T00:00:00+00:00", "v1", None, "c1")


def lineage_of(identity: str, kind: Kind, *rounds: Round, model: Model | None = None) -> Lineage:
    return Lineage("tiny", identity, kind, rounds, model, (), (), ())


def round_of(*, judge_training: bool = True, prompt: Prompt | None = None, policy: Model | None = None) -> Round:
    return Round("1", prompt, policy, (), None, None, (), (), judge_training)


def model(name: str, asset: str, parent: Model | None = None) -> Model:
    data = by("eft_dataset", None) if parent is None else by("dpo_dataset")
    return Model(name, name, "f", {}, {}, data, {}, parent, None, "", by(asset, None if parent is None else "1"))


# ------------------------------------------------------------------------------------------------------------- small


def test_addresses_in_the_dagster_ui_take_any_name() -> None:
    """What is shared is the family's, and of no partition."""
    run = Run("a/b c", tiny_recipe(), NOWHERE, launched_family="small")
    dagster = Dagster(UI, run)
    assert dagster.assets == f"{UI}/assets/a%2Fb%20c"
    assert dagster.asset("responses", "2") == f"{UI}/assets/a%2Fb%20c/responses?view=partitions&partition=2"
    assert dagster.asset("seed_prompts", None) == f"{UI}/assets/small/seed_prompts"
    assert dagster.dagster_run(by("responses")) == f"{UI}/runs/run%20of%20responses"


def test_pages_are_counted_from_one() -> None:
    """Fifty on a page; of nothing there is one page, which says so."""
    assert [page_count(rows) for rows in (0, 1, 50, 51, 101)] == [1, 1, 1, 2, 3]
    assert [page_number(given) for given in ({}, {"page": "1"}, {"page": "999999999"})] == [1, 1, 999_999_999]


@pytest.mark.parametrize("page", ["", "0", "-1", "1.0", "\u0664", "1" * 10])
def test_what_is_no_page_is_said(page: str) -> None:
    with pytest.raises(UserError) as error:
        page_number({"page": page})
    assert str(error.value) == f"page is '{page}', expected a number from 1 on."


def test_one_of_few_values_or_none_may_be_asked_for() -> None:
    one_of("kind", None, ("actor", "judge"))
    one_of("kind", "judge", ("actor", "judge"))
    with pytest.raises(UserError) as error:
        one_of("kind", "Judge", ("actor", "judge"))
    assert str(error.value) == "kind is 'Judge', expected one of actor, judge."


# ---------------------------------------------------------------------------------------------------------- the list


def listing(asked: dict[str, str], sort: str = "pair_id", *, ascending: bool = False, truth: bool = False) -> Listing:
    run = tiny_run(NOWHERE)
    return Listing(run, asked, {}, sort, ascending, page=3, count=101, rows=[], provenances=[], stale=(), truth=truth)


def test_the_address_of_a_list_has_what_was_asked_for_and_begins_at_its_first_page() -> None:
    by_pair, by_gap = listing({"kind": "judge", "text": "a&b"}), listing({"kind": "judge"}, "elo_gap", ascending=True)
    assert (by_pair.pages, by_pair.address()) == (3, "/runs/tiny?kind=judge&text=a%26b")
    assert by_pair.address(page=4, kind=None) == "/runs/tiny?text=a%26b&page=4"
    assert by_gap.query() == "?kind=judge&sort=elo_gap&order=asc"
    assert listing({}).address() == "/runs/tiny"


def test_a_columns_title_sorts_by_it_and_turns_the_order() -> None:
    """A gap the largest first; ids have one order alone."""
    down, up, by_id = listing({}, "elo_gap"), listing({}, "elo_gap", ascending=True), listing({})
    assert down.sorted_by("elo_gap") == "/runs/tiny?sort=elo_gap&order=asc"
    assert up.sorted_by("elo_gap") == by_id.sorted_by("elo_gap") == "/runs/tiny?sort=elo_gap&order=desc"
    assert up.sorted_by("length_gap") == "/runs/tiny?sort=length_gap&order=desc"
    assert up.sorted_by("pair_id") == by_id.sorted_by("pair_id") == "/runs/tiny"
    assert [each.direction("elo_gap") for each in (down, up, by_id)] == ["descending", "ascending", "none"]
    assert [each.direction("pair_id") for each in (down, by_id)] == ["none", "ascending"]


def test_the_true_gap_has_a_column_where_a_truth_is_known() -> None:
    without, with_truth = list(listing({}).columns), list(listing({}, truth=True).columns)
    assert without == ["score_gap", "length_gap", "elo_gap", "reward_margin"]
    assert with_truth == [*without, "true_gap"]


def test_the_same_list_in_a_terminal_is_quoted_for_a_shell() -> None:
    asked = {"kind": "actor", "score_gap": "-1..2.5", "text": "it's $HOME"}
    assert listing(asked, "elo_gap", ascending=True).command == (
        r"mr pairs tiny --kind actor --score-gap -1..2.5 --text 'it'\''s $HOME' --sort elo_gap --ascending"
    )
    assert listing({}).command == "mr pairs tiny"


# ------------------------------------------------------------------------------------------------ a pair in its list


def three(run: Run, iterations: Sequence[str] | None, kinds: Sequence[PairKind]) -> pl.DataFrame:
    """Pairs A, B and C with score gaps of 1, 3 and 2."""
    gaps = zip((A, B, C), (1.0, 3.0, 2.0), strict=True)
    rows = [{"run": "tiny", "iteration": "1", "kind": "actor", "pair_id": i, "score_gap": gap} for i, gap in gaps]
    return pl.DataFrame([dict.fromkeys(SCHEMA) | row for row in rows], schema=SCHEMA)


def placed(identity: str, **given: str) -> Around | None:
    return around(tiny_run(NOWHERE), lineage_of(identity, "pair"), given, three)


def test_a_pair_has_those_before_and_after_it_in_the_order_asked_for() -> None:
    """The largest gap first: B, C, A."""
    assert placed(B) == Around(2, 3, f"/runs/tiny/{A}", f"/runs/tiny/{C}", "/runs/tiny")
    query = "?sort=score_gap"
    assert placed(C, sort="score_gap") == Around(
        2, 3, f"/runs/tiny/{B}{query}&order=desc", f"/runs/tiny/{A}{query}&order=desc", f"/runs/tiny{query}&order=desc"
    )
    first, last = placed(B, sort="score_gap"), placed(A, sort="score_gap")
    assert first is not None and (first.place, first.previous) == (1, None)
    assert last is not None and (last.place, last.next) == (3, None)


def test_the_way_back_leads_to_the_page_that_the_pair_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.explorer.pages.PAGE", 2)
    found = [placed(identity, kind="actor") for identity in (A, B, C)]
    backs = [each.back for each in found if each]
    assert backs == ["/runs/tiny?kind=actor", "/runs/tiny?kind=actor", "/runs/tiny?kind=actor&page=2"]


def test_what_is_in_no_such_list_has_no_place() -> None:
    """A pair that a filter leaves out, a list that cannot be asked for, and an id that is no pair."""
    assert placed(A, score_gap="2..") is None
    assert placed(A, score_gap="wide") is placed(A, odd="1") is placed(A, iteration="9") is None
    assert around(tiny_run(NOWHERE), lineage_of(A, "prompt"), {}, three) is None


# --------------------------------------------------------------------------------------------------------- an id's page


@pytest.mark.parametrize(
    ("identity", "kind", "trains", "kinds"),
    [
        (A, "pair", True, ("actor",)),
        (A.replace("actor", "judge"), "pair", False, ("judge",)),
        (A.replace("actor", "r0.j1-j2"), "battle", True, ("judge",)),
        ("aaaaaaaaaaaa", "prompt", True, ("actor", "judge")),
        ("aaaaaaaaaaaa", "prompt", False, ("actor",)),
    ],
)
def test_a_page_is_about_the_pairs_that_its_id_is_for(
    identity: str, kind: Kind, trains: bool, kinds: tuple[str, ...]
) -> None:
    round_ = round_of(judge_training=trains)
    assert round_view(lineage_of(identity, kind, round_), round_).kinds == kinds


def test_what_a_round_shows_is_found_by_its_id(finished: Run) -> None:
    """Of a judge pair: both of its judgments and the battles between them; of another id there is nothing."""
    pair = table(finished, "elo_pairs").row(0, named=True)
    lineage = trace(finished, pair["pair_id"])
    view = round_view(lineage, lineage.rounds[0])
    chosen, rejected = pair["chosen_id"], pair["rejected_id"]
    assert [(view.role(identity)) for identity in (chosen, rejected, pair["response_id"])] == ["chosen", "rejected", ""]
    [shown] = view.pairs
    texts = dict(table(finished, "judgments").select("judgment_id", "judgment").iter_rows())
    assert [(side.id, side.text) for side in shown.sides] == [(i, texts[i]) for i in (chosen, rejected)]
    judgment, response = view.judgment(chosen), view.response(pair["response_id"])
    assert judgment is not None and judgment.text == texts[chosen]
    assert response is not None and view.chars[response.id] == len(response.text or "")
    met = view.met(chosen, rejected)
    assert met is not None and (met.first_id, met.second_id) == (chosen, rejected)
    assert view.battle(met.id) == met
    assert (view.judgment("x"), view.response("x"), view.battle("x"), view.met(chosen, chosen)) == (None,) * 4
    assert len(view.shades) == len(pair["elo"])


def test_battles_come_in_both_orders_side_by_side(finished: Run) -> None:
    """Every battle once, the two of the same judgments in one row; those of a judgment with it as the first."""
    lineage = trace(finished, table(finished, "elo_pairs")["pair_id"][0])
    view = round_view(lineage, lineage.rounds[0])
    bouts = view.bouts()
    assert sorted(b.id for _, _, *both in bouts for b in both if b) == sorted(b.id for b in view.battles)
    for a, b, forth, back in bouts:
        assert forth is None or (forth.first_id, forth.second_id) == (a, b)
        assert back is None or (back.first_id, back.second_id) == (b, a)
    last = bouts[-1][1]
    theirs = view.bouts(last)
    assert {a for a, *_ in theirs} == {last}
    assert len(theirs) == sum(last in (a, b) for a, b, *_ in bouts)


def test_every_maker_is_named_once() -> None:
    """The models first, each after what it was trained on; the policy of two rounds is the same."""
    m0 = model("M0", "sft_checkpoint")
    policy = model("M1", "checkpoints", m0)
    rounds = [round_of(prompt=Prompt("p", "text", by("prompts", t)), policy=policy) for t in ("1", "2")]
    found = makers(lineage_of("p", "prompt", *rounds, model=m0))
    assert [(each.asset, each.partition) for each in found] == [
        ("eft_dataset", None),
        ("sft_checkpoint", None),
        ("dpo_dataset", "1"),
        ("checkpoints", "1"),
        ("prompts", "1"),
        ("prompts", "2"),
    ]


def test_the_raw_text_of_an_id_is_its_own() -> None:
    round_ = round_of(prompt=Prompt("aaaaaaaaaaaa", "Name a river.", by("prompts")))
    assert raw_text(lineage_of("aaaaaaaaaaaa", "prompt", round_)) == "Name a river."
    with pytest.raises(UserError) as error:
        raw_text(lineage_of(A, "pair", round_))
    assert str(error.value) == f"pair {A} has no text of its own here."


def test_what_came_of_an_id_is_grouped_by_its_part_and_kind() -> None:
    candidates = [Descent(identity, "actor", "a candidate", False, by("actor_pairs")) for identity in (A, C)]
    prompt = Descent(B, "judge", "its prompt", True, by("elo_pairs"))
    found = grouped((candidates[0], prompt, candidates[1]))
    assert found == {("a candidate", "actor"): candidates, ("its prompt", "judge"): [prompt]}
    assert grouped(()) == {}


def test_what_was_measured_of_a_model_is_said_in_words(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    measure(run, "evaluation", "1", {"true_score": 2.5, "true_score_low": 2.25, "true_score_high": 2.75, "battles": 3})
    [found] = evaluations(run, lineage_of("M1", "model"), {("evaluation", "1"): "n changed"})
    assert (found.asset, found.figures) == ("evaluation", {"true score": "2.50 (2.25 to 2.75)", "battles": "3"})
    assert (found.provenance.partition, found.stale) == ("1", "n changed")
    [sound] = evaluations(run, lineage_of("M1", "model"), {("evaluation", "2"): "n changed"})
    assert sound.stale is None
    assert evaluations(run, lineage_of("M2", "model"), {}) == evaluations(run, lineage_of("1", "prompt"), {}) == []


def test_without_a_probe_no_shift_is_drawn(tmp_path: Path) -> None:
    assert shifted(tiny_run(tmp_path), lineage_of("M1", "model"), {}) is None
    assert shifted(tiny_run(tmp_path), lineage_of(A, "pair"), {}) is None


# ------------------------------------------------------------------------------------------------------- several runs


def test_a_run_is_summed_up_by_its_iterations(finished: Run) -> None:
    found = summary(UI, finished)
    assert (found["run"], found["complete"], found["dagster"].url) == (finished, 2, UI)
    first, second = found["iterations"]
    assert [each["actor_pairs"] for each in (first, second)] == [
        table(finished, "actor_pairs", t).height for t in ("1", "2")
    ]
    assert [each["elo_pairs"] for each in (first, second)] == [table(finished, "elo_pairs").height, 0]
    assert (first["trained"].asset, second["trained"].partition) == ("checkpoints", "2")
    assert first["stale"] == second["stale"] == {}
    assert list(found["curves"]["true score"]) == ["seed", "M0", "M1", "M2"]


def test_a_run_that_has_made_nothing_is_summed_up_too(tmp_path: Path) -> None:
    found = summary(UI, tiny_run(tmp_path))
    nothing: dict[str, Any] = {
        "actor_pairs": None,
        "elo_pairs": None,
        "checkpoints": None,
        "trained": None,
        "stale": {},
    }
    assert found["iterations"] == [{"t": "1"} | nothing, {"t": "2"} | nothing]
    assert (found["complete"], found["curves"]) == (0, {})


def test_runs_stand_side_by_side_figure_by_figure() -> None:
    """A line for each run that has the figure; the axis is that of the longest."""

    def row(name: str, **curves: dict[str, Estimate]) -> dict[str, Any]:
        return {"run": Run(name, tiny_recipe(), NOWHERE), "curves": curves}

    short, long = {"seed": Estimate(1.0), "M0": Estimate(2.0)}, {m: Estimate(3.0) for m in ("seed", "M0", "M1")}
    found = side_by_side([row("a", accuracy=short), row("b", accuracy=long, reliability={"1": Estimate(0.5)})])
    assert list(found) == ["accuracy", "reliability"]
    assert [(line.label, len(line.points)) for line in found["accuracy"].lines] == [("a", 2), ("b", 3)]
    assert [label for _, label in found["accuracy"].labels] == ["seed", "M0", "M1"]
    assert [line.label for line in found["reliability"].lines] == ["b"]
    assert side_by_side([]) == {}
