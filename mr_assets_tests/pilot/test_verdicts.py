"""What a pilot says of each stage: tables put there by hand, held against the bounds of a run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mr_assets.bounds import Guardrails
from mr_assets.method.guardrails import findings
from mr_assets.method.intervals import wilson
from mr_assets.pilot.pilot import Pilot, planned
from mr_assets.pilot.verdicts import CHANGE, StageVerdict, judges, stage_verdicts, ways_out, worst
from mr_assets.recipes.sets import PATHS
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.tables import DROPPED, TABLES, dropped_path
from mr_assets_tests.tiny import complete, tiny_run

PROMPTS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd")
Rows = list[dict[str, Any]]
Put = Callable[..., None]


@pytest.fixture
def pilot(run: Run) -> Pilot:
    """Of four prompts, K = 4 and N = 3."""
    return planned(run, 4)


@pytest.fixture
def put(pilot: Pilot) -> Put:
    """Puts a table there as its asset would, with what its checks measured."""

    def made(asset: str, rows: Rows, beside: dict[str, Rows] | None = None, **reasons: str) -> None:
        tables = {name: frame(name, its) for name, its in {**(beside or {}), asset: rows}.items()}
        record, place = complete(pilot.run, asset, "1"), pilot.run.path(asset, "1")
        tables[asset].write_parquet(place)
        dropped = pl.DataFrame([(i, why, "{}") for i, why in reasons.items()], DROPPED.schema, orient="row")
        dropped_path(place).parent.mkdir(parents=True, exist_ok=True)
        dropped.write_parquet(dropped_path(place))
        checks = {f.name: f.measured._asdict() for f in findings(asset, tables, Guardrails()) if f.measured}
        write_record(pilot.run.record_path(asset, "1"), replace(record, rows=len(rows), checks=checks))

    return made


def frame(table: str, rows: Rows) -> pl.DataFrame:
    """Rows of a table; what they do not say is null."""
    schema = TABLES[table].schema
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema)


def responses(cut: int = 0) -> Rows:
    """Four to each of four prompts; of the first prompt's so many are cut off."""
    return [
        {
            "response_id": f"1.{prompt}.r{k}",
            "prompt_id": prompt,
            "k": k,
            "response": f"{k}" * (k + 1),
            "finish_reason": "length" if prompt == PROMPTS[0] and k < cut else "stop",
            "token_ids": list(range(k + 1)),
        }
        for prompt in PROMPTS
        for k in range(4)
    ]


def judgments(*scores: float | None) -> Rows:
    """One per response, in turn; one without a score says so."""
    return [
        {
            "judgment_id": f"{row['response_id']}.j0",
            "response_id": row["response_id"],
            "n": 0,
            "judgment": "Good." if score is None else f"Score: {score:g}",
            "score": score,
            "invalid": "no_score" if score is None else None,
            "finish_reason": "stop",
            "token_ids": [1, 2],
        }
        for row, score in zip(responses(), scores * 16, strict=False)
    ]


def stage(pilot: Pilot, asset: str) -> StageVerdict:
    return next(found for found in stage_verdicts(pilot) if found.asset == asset)


def test_all_is_fine(pilot: Pilot, put: Put) -> None:
    """Scores 1 to 4 of each prompt's responses: mean 2.5, and between them a standard deviation of sqrt(1.25)."""
    put("responses", responses())
    put("judgments", judgments(1.0, 2.0, 3.0, 4.0))
    found = stage(pilot, "judgments")
    assert (found.verdict, found.rows, found.change) == ("fine", 16, ())
    assert found.figures["standard deviation between the responses to a prompt"] == pytest.approx(1.25**0.5)
    assert found.figures["ties among the responses to a prompt"] == 0
    assert (found.figures["score 4"], found.figures["mean tokens"]) == (4, 2)
    assert judges(stage_verdicts(pilot))


def test_ties(pilot: Pilot, put: Put) -> None:
    """Scores 1, 1, 1, 4: of the six pairs of a prompt's responses, three are equal."""
    put("responses", responses())
    put("judgments", judgments(1.0, 1.0, 1.0, 4.0))
    assert stage(pilot, "judgments").figures["ties among the responses to a prompt"] == 0.5


def test_a_judge_that_is_noise(pilot: Pilot, put: Put) -> None:
    """Each response gets 1 and 5, whatever it is: its means say nothing, and the run's check would stop it."""
    twice = [{**row, "judgment_id": f"{row['judgment_id'][:-1]}{n}"} for n in (0, 1) for row in judgments(1.0)]
    noise = [{**row, "score": 5.0 if row["judgment_id"].endswith("1") else 1.0} for row in twice]
    put("responses", responses())
    put("judgments", noise)
    found = stage(pilot, "judgments")
    assert found.figures["reliability of one score"] == pytest.approx(-1)
    assert found.figures["judgments needed for 0.7"] is None
    assert found.verdict == "stops the run" and "judgments.n" in found.change and judges(stage_verdicts(pilot))


def test_no_score_at_all(pilot: Pilot, put: Put) -> None:
    """None of four prompts: from 0 to 49%, all below the half that a run needs."""
    put("responses", responses())
    put("judgments", judgments(None))
    found = stage(pilot, "judgments")
    assert found.shares["parse_rate"].high == wilson(0, 4)[1] < 0.5
    assert found.verdict == "stops the run"
    assert found.change == ("eft.source", "judgments.template", "judgments.score_line")
    assert not judges(stage_verdicts(pilot)) and worst(stage_verdicts(pilot)) == "stops the run"
    assert found.reasons == {"no_score": 16}
    assert [(text.id[-6:], text.reason, text.text) for text in found.unparsed] == [
        (f".r{k}.j0", "no_score", "Good.") for k in range(3)
    ]
    said = " ".join(ways_out(pilot))
    assert "SFT on eft.source = world" in said and "judgments.template" in said and "model.seed" in said


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (("sft=null",), "sft is null, so that M0 is the seed model"),
        (
            ("eft.source=open_assistant:f", "eft.examples=null", "world=null", "evaluation=null"),
            "First, eft.judged_by = ranks",
        ),
    ],
)
def test_ways_out(tmp_path: Path, sets: tuple[str, ...], said: str) -> None:
    """By what the recipe has: no SFT, or one on judgments of the seed's own."""
    beside = ("prompts.source=p.txt",) if "world=null" in sets else ()
    assert said in " ".join(ways_out(planned(tiny_run(tmp_path, *sets, *beside), 4)))


def test_too_few_to_be_certain(pilot: Pilot, put: Put) -> None:
    """All judgments of two prompts and none of the other two: half of 16, and of four prompts that may be anything."""
    put("responses", responses())
    put("judgments", [*judgments(1.0, 2.0, 3.0, 4.0)[:8], *judgments(None)[8:]])
    found = stage(pilot, "judgments")
    assert found.shares["parse_rate"].low < 0.5 < found.shares["parse_rate"].high
    assert found.verdict == "may stop the run" and judges(stage_verdicts(pilot))


def test_a_score_that_was_asked_again_is_one(pilot: Pilot, put: Put) -> None:
    """`invalid` keeps why the first text had none."""
    again = [{**row, "invalid": "no_score"} for row in judgments(1.0, 2.0, 3.0, 4.0)]
    put("responses", responses())
    put("judgments", again)
    found = stage(pilot, "judgments")
    assert (found.verdict, found.reasons, found.unparsed) == ("fine", {}, ())


def test_what_is_cut_off_warns(pilot: Pilot, put: Put) -> None:
    """Three of 16: the check warns from a tenth on, and stops the run from a half on; all three are of one prompt."""
    put("responses", responses(cut=3))
    found = stage(pilot, "responses")
    assert found.shares["cut_off"].share == 3 / 16
    (held,) = (each for each in found.held if each.finding.name == "cut_off")
    assert found.change == ("responses.max_tokens",) and "cut off" in held.said
    assert found.verdict == ("may stop the run" if found.shares["cut_off"].high > 0.5 else "warns")


def test_expected_pairs(pilot: Pilot, put: Put) -> None:
    """Two of four prompts give a pair: of the iteration's five, 2.5 are expected. The others' reason is counted."""
    pairs = [
        {"pair_id": f"1.{p}.actor", "prompt_id": p, "chosen_id": f"1.{p}.r3", "rejected_id": f"1.{p}.r0"}
        | {"chosen_chars": 10, "rejected_chars": 10}
        for p in PROMPTS[:2]
    ]
    put("responses", responses())
    reasons = dict.fromkeys(PROMPTS[2:], "equal_scores")
    put("actor_pairs", pairs, {"responses": responses()}, **reasons)
    found = stage(pilot, "actor_pairs")
    assert found.expected == pytest.approx((2.5, *(5 * end for end in wilson(0.5, 3))))
    assert found.reasons == {"equal_scores": 2}


def test_nothing_was_compared(pilot: Pilot, put: Put) -> None:
    put("meta_judgments", [])
    assert stage(pilot, "meta_judgments").verdict == "nothing to judge"


def test_no_response_fits_the_context(pilot: Pilot, put: Put) -> None:
    """Then a run stops, whatever its checks say of no rows."""
    put("responses", [], **dict.fromkeys(PROMPTS, "prompt_too_long"))
    found = stage(pilot, "responses")
    assert (found.verdict, found.change) == ("stops the run", ("engine.max_model_len",))


def test_the_favoured_position(pilot: Pilot, put: Put) -> None:
    """The second one wins 3 of 4 battles, of four prompts: the interval does not go below a half."""
    battles = [
        {
            "meta_judgment_id": f"1.{prompt}.r0.j0.j1",
            "response_id": f"1.{prompt}.r0",
            "first_id": f"1.{prompt}.r0.j0",
            "second_id": f"1.{prompt}.r0.j1",
            "meta_judgment": "Winner",
            "winner": "first" if prompt == PROMPTS[0] else "second",
            "finish_reason": "stop",
            "token_ids": [1],
        }
        for prompt in PROMPTS
    ]
    put("meta_judgments", battles, {"judgments": judgments(1.0)})
    found = stage(pilot, "meta_judgments").shares["position_bias"]
    assert (found.share, found.low) == (0.75, 0.5)
    assert found.high == pytest.approx(wilson(0.75, 3)[1])


def test_what_to_change_are_fields_of_a_recipe() -> None:
    leaves = {path.rpartition(".")[2] for path in PATHS}
    for fields in CHANGE.values():
        assert all(name in PATHS or name in leaves for name in fields), fields
