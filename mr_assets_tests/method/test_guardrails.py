"""Every check, once where it fires and once where it does not; what the paper's own biases give."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from mr_assets.bounds import Bounds, Guardrails
from mr_assets.loop import LOOP
from mr_assets.method.dropped import REASONS, SETTINGS, setting_behind
from mr_assets.method.guardrails import (
    CHECKS,
    Background,
    Check,
    Departed,
    Finding,
    Level,
    findings,
    harmful,
)
from mr_assets.method.measures import PREVIOUS
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.tables import DPO_DATASET, TOKEN_IDS, dropped_frame
from mr_assets.tables import TABLES as ALL_TABLES

LIMITS = Guardrails(min_count=4, probe_tau_at_least=Bounds(warn=0.5, stop=None))
Frames = Mapping[str, pl.DataFrame]


def check(asset: str, name: str) -> Check:
    [found] = [c for c in CHECKS if (c.asset, c.name) == (asset, name)]
    return found


def frame(**columns: Sequence[Any]) -> pl.DataFrame:
    """The columns that a check reads; texts unless they say otherwise."""
    numbers = {"score": pl.Float64, "loss": pl.Float64, "step": pl.Int64, "chosen_chars": pl.Int64}
    numbers |= {"rejected_chars": pl.Int64}
    return pl.DataFrame(columns, schema={name: numbers.get(name, pl.String) for name in columns})


def judged(*scores: float | None) -> Frames:
    ids = [f"j{i}" for i in range(len(scores))]
    return {"judgments": frame(judgment_id=ids, score=scores, invalid=[None if s else "no_score" for s in scores])}


def agreeing(*responses: tuple[float, float]) -> Frames:
    """Judgments of the responses to one prompt, two of each: so much around that score."""
    scores = [(f"1.p.r{k}", score) for k, (at, apart) in enumerate(responses) for score in (at - apart, at + apart)]
    return {"judgments": frame(response_id=[r for r, _ in scores], score=[s for _, s in scores])}


def fought(*battles: tuple[str | None, float, float]) -> Frames:
    """Battles of (winner, score of the first, score of the second), each between two judgments of its own."""
    sides = {"first_id": [f"a{i}" for i in range(len(battles))], "second_id": [f"b{i}" for i in range(len(battles))]}
    winners = [w for w, _, _ in battles]
    invalid = [None if w else "no_winner" for w in winners]
    n = len(battles)
    meta = frame(**sides, winner=winners, invalid=invalid, finish_reason=["stop"] * n, copied_from=[None] * n)
    scores = [*(a for _, a, _ in battles), *(b for _, _, b in battles)]
    return {
        "meta_judgments": meta,
        "judgments": frame(judgment_id=[*sides["first_id"], *sides["second_id"]], score=scores),
    }


def ended(asset: str, stopped: Sequence[int], cut: Sequence[int]) -> Frames:
    """Completions of so many tokens each that ended, and others that were cut off."""
    reasons = ["stop"] * len(stopped) + ["length"] * len(cut)
    ids = pl.Series("token_ids", [[1] * n for n in (*stopped, *cut)], dtype=TOKEN_IDS)
    copied = pl.lit(None, pl.String)
    return {asset: frame(finish_reason=reasons).with_columns(ids, copied_from=copied)}


def answered(now: int, before: int) -> Frames:
    """Four responses of `now` characters each, after four of `before`."""
    return {"responses": frame(response=["x" * now] * 4), PREVIOUS: frame(response=["x" * before] * 4)}


def paired(asset: str, chosen: int, rejected: int) -> Frames:
    return {asset: frame(chosen_chars=[chosen] * 4, rejected_chars=[rejected] * 4)}


def made(pairs: str, count: int, of: str, column: str, candidates: int) -> Frames:
    ids = [str(i) for i in range(candidates)]
    return {pairs: frame(pair_id=ids[:count]), of: frame(**{column: ids})}


def dataset(*pairs: tuple[str, str, str]) -> Frames:
    """A DPO dataset of (prompt, chosen, rejected)."""
    rows = [
        (f"{i}", "actor", *([{"role": "user", "content": text}] for text in texts), [1], [1], [1])
        for i, texts in enumerate(pairs)
    ]
    return {"dpo_dataset": pl.DataFrame(rows, schema=DPO_DATASET.schema, orient="row")}


def trained(*losses: float) -> Frames:
    return {"training_log": frame(step=range(1, len(losses) + 1), loss=losses)}


def probed(*prompts: tuple[list[float], list[float]]) -> Frames:
    """Scores of the responses of each prompt, a single judgment of each, by the model and by the one before."""
    rows = [(f"p{n}", [s], s, b) for n, (own, before) in enumerate(prompts) for s, b in zip(own, before, strict=True)]
    found = pl.DataFrame(rows, schema=["prompt_id", "scores", "mean", "mean_previous"], orient="row")
    return {"scoring_shift": found.with_columns(mean_seed="mean", true_score=pl.lit(None, pl.Float64))}


ACTOR, JUDGE = ("responses", "prompt_id"), ("battle_matrices", "response_id")
SPLIT = [("p", "a", "b"), ("p", "c", "d"), ("q", "b", "a")]

# asset, check, tables, level, what the sentence says of the numbers
CASES: list[tuple[str, str, Frames, str, str]] = [
    ("responses", "length_growth", answered(12, 10), "passed", "1.2 times: 12 characters after 10"),
    ("responses", "length_growth", answered(20, 10), "warning", "2 times: 20 characters after 10"),
    ("responses", "length_growth", answered(21, 10), "harmful", "2.1 times: 21 characters after 10"),
    *[
        (asset, "cut_off", ended(asset, stopped, cut), level, said)
        for asset in ("responses", "judgments", "meta_judgments")
        for stopped, cut, level, said in (
            ([9] * 9, [64], "passed", "10%: 1 of 10, after 64 tokens; those that ended took 9, 9 at most"),
            ([9, 20], [64] * 2, "warning", "50%: 2 of 4, after 64 tokens; those that ended took 14, 20 at most"),
            ([9], [64] * 3, "harmful", "75%: 3 of 4"),
            ([], [64] * 4, "harmful", "100%: 4 of 4, after 64 tokens, and none ended by itself"),
        )
    ],
    ("judgments", "parse_rate", judged(*[4.0] * 9, None), "passed", "90%: 9 of 10, the others 1 no_score"),
    ("judgments", "parse_rate", judged(*[4.0] * 5, *[None] * 5), "warning", "50%: 5 of 10, the others 5 no_score"),
    ("judgments", "parse_rate", judged(*[4.0] * 4, *[None] * 6), "harmful", "40%: 4 of 10, the others 6 no_score"),
    # one bit for two scores equally often; 99 of 100: 0.99 log2(1/0.99) + 0.01 log2(100) = 0.0808
    ("judgments", "score_entropy", judged(4, 4, 5, 5), "passed", "1 bits: 2 of 4 scores are 5"),
    ("judgments", "score_entropy", judged(*[4] * 19, 5), "warning", "0.286 bits: 19 of 20 scores are 4"),
    ("judgments", "score_entropy", judged(*[3] * 99, 5), "harmful", "0.0808 bits: 99 of 100 scores are 3"),
    ("judgments", "top_score_share", judged(*[5] * 9, 4), "passed", "90%: 9 of 10"),
    ("judgments", "top_score_share", judged(*[5] * 19, 4), "warning", "95%: 19 of 20"),
    ("judgments", "top_score_share", judged(*[5] * 99, 4), "harmful", "99%: 99 of 100"),
    # 63 responses at each of two scores, a apart: MSB = 63 a^2 / 125; judgments d away from the response's: MSW = 2 d^2
    ("judgments", "score_reliability", agreeing(*[(1, 1), (5, 1)] * 63), "passed", "0.75 ("),  # 1 - 2 / 8.064
    ("judgments", "score_reliability", agreeing(*[(2, 0.8), (4, 0.8)] * 63), "warning", "0.37 ("),  # 1 - 1.28 / 2.016
    ("judgments", "score_reliability", agreeing(*[(2, 1), (4, 1)] * 63), "harmful", "0.0079 ("),  # 1 - 2 / 2.016
    ("scoring_shift", "top_score_share", probed(([5.0] * 9 + [4.0], [4.0] * 10)), "passed", "0.9 (95% interval 0.9"),
    ("scoring_shift", "top_score_share", probed(([5.0] * 19 + [4.0], [4.0] * 20)), "warning", "0.95 (95% interval"),
    (
        "scoring_shift",
        "score_entropy",
        probed(*[([5.0, 4.0], [4.0, 4.0])] * 2),
        "passed",
        "1 bits (95% interval 1 to 1)",
    ),
    ("scoring_shift", "score_entropy", probed(([5.0] * 19 + [4.0], [4.0] * 20)), "warning", "0.286 bits"),
    # a scale of 5: 0.1 of it is 0.5
    ("scoring_shift", "mean_shift", probed(*[([5.0, 4.0], [4.5, 3.5])] * 2), "passed", "0.5 of the score"),
    ("scoring_shift", "mean_shift", probed(*[([3.0, 2.0], [4.0, 2.5])] * 2), "warning", "-0.75 of the score"),
    (
        "scoring_shift",
        "self_consistency",
        probed(*[([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])] * 2),
        "passed",
        "1 (95% interval",
    ),
    (
        "scoring_shift",
        "self_consistency",
        probed(*[([5.0, 5.0], [1.0, 4.0])] * 2),
        "warning",
        "0 (95% interval 0 to 0)",
    ),
    ("actor_pairs", "pair_yield", made("actor_pairs", 2, *ACTOR, 4), "passed", "50%: 2 of 4"),
    ("actor_pairs", "pair_yield", made("actor_pairs", 1, *ACTOR, 20), "warning", "5%: 1 of 20"),
    ("actor_pairs", "pair_yield", made("actor_pairs", 1, *ACTOR, 25), "harmful", "4%: 1 of 25"),
    ("elo_pairs", "pair_yield", made("elo_pairs", 2, *JUDGE, 4), "passed", "50%: 2 of 4"),
    ("elo_pairs", "pair_yield", made("elo_pairs", 0, *JUDGE, 4), "warning", "0%: 0 of 4"),
    ("meta_judgments", "parse_rate", fought(*[("first", 4, 5)] * 9, (None, 4, 5)), "passed", "90%: 9 of 10"),
    ("meta_judgments", "parse_rate", fought(*[("first", 4, 5)] * 2, (None, 4, 5), (None, 4, 5)), "warning", "50%"),
    ("meta_judgments", "parse_rate", fought(("first", 4, 5), *[(None, 4.0, 5.0)] * 3), "harmful", "25%: 1 of 4"),
    (
        "meta_judgments",
        "position_bias",
        fought(*[("first", 4, 5), ("second", 4, 5)] * 2),
        "passed",
        "50% for the first",
    ),
    (
        "meta_judgments",
        "position_bias",
        fought(*[("second", 4, 5)] * 3, ("first", 4, 5)),
        "warning",
        "75% for the second",
    ),
    ("meta_judgments", "position_bias", fought(*[("first", 4, 5)] * 4), "harmful", "100% for the first position in 4"),
    ("meta_judgments", "score_bias", fought(*[("first", 5, 4)] * 3, ("first", 4, 5)), "passed", "75% in 4"),
    ("meta_judgments", "score_bias", fought(*[("first", 5, 4), ("second", 4, 5)] * 2), "warning", "100% in 4"),
    *[
        (
            asset,
            "chosen_length",
            paired(asset, chosen, 8),
            level,
            f"{chosen / 8:.3g} times: {chosen} characters chosen, 8",
        )
        for asset in ("actor_pairs", "elo_pairs")
        for chosen, level in ((10, "passed"), (11, "warning"))
    ],
    ("dpo_dataset", "identical_pairs", dataset(("p", "a", "b")), "passed", "0%: 0 of 1"),
    ("dpo_dataset", "identical_pairs", dataset(("p", "a", "b"), ("p", "c", "c")), "harmful", "50%: 1 of 2"),
    # the same texts the other way round are no contradiction under another prompt; nor is a pair of equal texts
    ("dpo_dataset", "contradictory_pairs", dataset(*SPLIT, ("p", "e", "e")), "passed", "0%: 0 of 4"),
    ("dpo_dataset", "contradictory_pairs", dataset(*SPLIT, ("p", "b", "a")), "harmful", "50%: 2 of 4"),
    *[
        (asset, "finite_loss", trained(*losses), level, said)
        for asset in ("sft_checkpoint", "checkpoints")
        for losses, level, said in (
            ((0.7, 0.6), "passed", "0%: 0 of 2"),
            ((0.7, float("nan"), float("inf")), "harmful", "66.7%: 2 of 3; the first is nan at step 2"),
        )
    ],
]


@pytest.mark.parametrize(
    ("asset", "name", "tables", "level", "said"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_check_fires_beyond_its_bound_and_not_at_it(
    asset: str, name: str, tables: Frames, level: str, said: str
) -> None:
    """The bound itself is fine; what fires says what was expected, what came and what to do next."""
    found = check(asset, name).find(tables, LIMITS)
    assert (found.asset, found.name, found.level) == (asset, name, level)
    assert found.passed == (level == "passed")
    assert found.said.startswith("Expected ")
    assert f", came {said}" in found.said
    assert (check(asset, name).next in found.said) == (level != "passed")
    assert found.numbers["value"] >= 0


TABLES = sorted({c.asset for c in CHECKS if c.name == "not_empty"})
TOLD = ("selected_responses", "meta_judgments", "battle_matrices", "elo_pairs", "held_out_responses", "probe_judgments")
NAMES = {
    "eft_judgments": ("response_id", "ranked_replies", "response_id"),
    "prompts": ("prompt_id", "seed_prompts", "prompt_id"),
    "responses": ("prompt_id", "prompts", "prompt_id"),
    "probe_judgments": ("response_id", "held_out_responses", "response_id"),
    "judgments": ("response_id", "responses", "response_id"),
    "actor_pairs": ("chosen_id rejected_id", "responses", "response_id"),
    "selected_responses": ("response_id", "responses", "response_id"),
    "meta_judgments": ("first_id second_id", "judgments", "judgment_id"),
    "battle_matrices": ("response_id", "selected_responses", "response_id"),
    "elo_pairs": ("chosen_id rejected_id", "judgments", "judgment_id"),
    "dpo_dataset": ("pair_id", "actor_pairs elo_pairs", "pair_id"),
}


@pytest.mark.parametrize("asset", TABLES)
def test_empty_tables(asset: str) -> None:
    """One row is enough. An empty judge's side leaves an actor to train, so it is told; anything else stops."""
    empty, one = check(asset, "not_empty").find({asset: frame(x=[])}, LIMITS), {asset: frame(x=["a"])}
    assert empty.level == ("warning" if asset in TOLD else "harmful")
    assert "Expected at least 1 row, came 0 rows." in empty.said
    assert check(asset, "not_empty").find(one, LIMITS).passed


@pytest.mark.parametrize("asset", TABLES)
def test_duplicate_ids(asset: str) -> None:
    """Three rows with two ids: one of three repeats another."""
    name = ALL_TABLES[asset].key
    unique = check(asset, "duplicate_ids").find({asset: frame(**{name: ["a", "b"]})}, LIMITS)
    twice = check(asset, "duplicate_ids").find({asset: frame(**{name: ["a", "b", "a"]})}, LIMITS)
    assert (unique.level, twice.level) == ("passed", "harmful")
    assert "came 33.3%: 1 of 3" in twice.said


@pytest.mark.parametrize("asset", NAMES)
def test_orphan_ids(asset: str) -> None:
    """Each id must be in the table that it names; a pair with two unknown ids is one row."""
    columns, parents, key = (part.split() for part in NAMES[asset])
    there = {parent: frame(**{key[0]: [parent, "a"]}) for parent in parents}
    known = frame(**{column: [parents[-1], "a"] for column in columns})
    lost = frame(**{column: ["a", "nobody"] for column in columns})
    assert check(asset, "orphan_ids").find({**there, asset: known}, LIMITS).passed
    found = check(asset, "orphan_ids").find({**there, asset: lost}, LIMITS)
    assert found.level == "harmful"
    assert "came 50%: 1 of 2" in found.said


def test_every_check_is_tested() -> None:
    """Here above, each in which it fires and in which it does not."""
    fired = {(asset, name, level == "passed") for asset, name, _, level, _ in CASES}
    others = {"not_empty": TABLES, "duplicate_ids": TABLES, "orphan_ids": NAMES}
    for c in CHECKS:
        assert c.asset in others.get(c.name, ()) or {(c.asset, c.name, True), (c.asset, c.name, False)} <= fired
    assert len({(c.asset, c.name) for c in CHECKS}) == len(CHECKS)


def test_the_order_of_rows_does_not_matter() -> None:
    for asset, name, tables, _, _ in CASES:
        turned = {n: table.reverse() for n, table in tables.items()}
        if name != "finite_loss":  # which names the first step
            assert check(asset, name).find(turned, LIMITS) == check(asset, name).find(tables, LIMITS)


def test_few_rows_say_nothing() -> None:
    """Three of three for the first position happen by chance; four are enough where min_count is 4."""
    for battles, level in ((3, "passed"), (4, "harmful")):
        tables = fought(*[("first", 4.0, 5.0)] * battles)
        found = check("meta_judgments", "position_bias").find(tables, LIMITS)
        assert found.level == level
    assert "Too few to tell: 3 rows" in check("judgments", "parse_rate").find(judged(None, None, None), LIMITS).said


def test_without_anything_to_compare_with() -> None:
    """The first iteration has none before it; an empty table has no shares. Another check tells that it is empty."""
    first = check("responses", "length_growth").find({"responses": answered(9, 1)["responses"]}, LIMITS)
    assert first.passed
    assert "no responses of the iteration before" in first.said
    empty = {
        **fought(),
        **judged(),
        **made("actor_pairs", 0, *ACTOR, 0),
        **made("elo_pairs", 0, *JUDGE, 0),
        **dataset(),
    }
    shares = [c for c in CHECKS if c.asset in empty and c.name in ("parse_rate", "pair_yield", "identical_pairs")]
    assert len(shares) == 5
    for share in [*shares, check("meta_judgments", "position_bias"), check("judgments", "score_entropy")]:
        assert share.find(empty, LIMITS).said == "Nothing to compare: there are no rows."


def test_a_copied_verdict_is_no_further_evidence() -> None:
    """Four sampled battles, two for each position; ten copies for the first change nothing."""
    tables = dict(fought(*[("first", 4, 5), ("second", 4, 5)] * 2, *[("first", 4.0, 5.0)] * 10))
    copied = [None] * 4 + ["another"] * 10
    tables["meta_judgments"] = tables["meta_judgments"].with_columns(copied_from=pl.Series(copied))
    found = check("meta_judgments", "position_bias").find(tables, LIMITS)
    assert (found.level, found.numbers["value"]) == ("passed", 0.5)


@pytest.mark.parametrize(
    ("same_first", "same", "higher_first", "higher", "different_first", "different", "levels"),
    [
        # Table 5, iteration 1: first wins 47.79% of equal and 41.12% of different scores, the higher score 63.04%
        (2006, 4198, 1193, 3658, 2386, 5802, ["passed", "passed"]),
        # iteration 2: 87.75% and 56.18%, 68.11% in all; the higher score 97.68%
        (3316, 3779, 3423, 6077, 3495, 6221, ["warning", "warning"]),
    ],
    ids=["iteration 1", "iteration 2"],
)
def test_the_papers_own_biases_warn_and_do_not_stop(
    same_first: int, same: int, higher_first: int, higher: int, different_first: int, different: int, levels: list[str]
) -> None:
    """Table 5 in 10,000 battles: the shares come out as published, and its second iteration warns."""
    lower_first = different_first - higher_first
    tables = fought(
        *[("first", 4.0, 4.0)] * same_first,
        *[("second", 4.0, 4.0)] * (same - same_first),
        *[("first", 5.0, 4.0)] * higher_first,
        *[("second", 4.0, 5.0)] * (higher - higher_first),
        *[("first", 4.0, 5.0)] * lower_first,
        *[("second", 5.0, 4.0)] * (different - higher - lower_first),
    )
    limits = load_recipe("llama_3_8b_meta_rewarding").guardrails
    found = {f.name: f for f in findings("meta_judgments", {**tables, "meta_judgments": with_ids(tables)}, limits)}
    assert [found[name].level for name in ("position_bias", "score_bias")] == levels
    assert harmful(list(found.values())) == []
    first = 0.4392 if levels[0] == "passed" else 0.6811
    assert found["position_bias"].numbers["first position wins"] == pytest.approx(first, abs=1e-4)
    shown = 0.6304 if levels[0] == "passed" else 0.9768
    assert found["score_bias"].numbers["value"] == pytest.approx(shown, abs=1e-3)


def with_ids(tables: Frames) -> pl.DataFrame:
    return tables["meta_judgments"].with_columns(meta_judgment_id=pl.col("first_id"), tokens=9)


@pytest.mark.parametrize(
    ("stopped", "cause"),
    [
        ((), "the model does not write the end token of its chat template: more tokens help nothing"),
        ((30, 52), "Many need nearly all of their tokens: raise judgments.max_tokens."),
        ((30, 51), "They run on without an end, and more than judgments.max_tokens = 64 would hardly help"),
    ],
)
def test_what_cuts_completions_off(stopped: Sequence[int], cause: str) -> None:
    """None ends: the end token. The longest that ends is near the 64 that there are (52 of them, 0.8): max_tokens."""
    found = check("judgments", "cut_off").find(ended("judgments", stopped, [64] * 8), LIMITS)
    assert found.level == "harmful"
    assert cause in found.said
    assert found.limit == "cut_off_share"


def test_battles_that_were_not_sampled_are_not_cut_off() -> None:
    """Equal texts and copied verdicts: four battles were sampled, all ended."""
    tables = ended("meta_judgments", [9] * 4, [64] * 4)["meta_judgments"]
    copied = pl.Series("copied_from", [None] * 6 + ["another"] * 2, dtype=pl.String)
    reasons = pl.Series("finish_reason", ["stop"] * 4 + [None] * 2 + ["length"] * 2, dtype=pl.String)
    found = check("meta_judgments", "cut_off").find({"meta_judgments": tables.with_columns(copied, reasons)}, LIMITS)
    assert (found.level, found.numbers["all"], found.numbers["cut off"]) == ("passed", 4, 0)


def test_bounds_may_be_left_open() -> None:
    """Without any, the number is told and nothing fires; with the harder one alone, that one is what is expected."""
    tables = judged(*[4.0] * 4, *[None] * 6)
    for bounds, level, said in (
        (Bounds(warn=None, stop=None), "passed", "No bounds are set, came 40%"),
        (Bounds(warn=None, stop=0.5), "harmful", "Expected at least 50% of judgments to give a score, came 40%"),
        (Bounds(warn=0.5, stop=None), "warning", "Expected at least 50% of judgments to give a score, came 40%"),
        (Bounds(warn=0.9, stop=0.5), "harmful", "at least 90% of judgments to give a score (below 50% training stops)"),
    ):
        limits = Guardrails(min_count=4, judgment_parse_rate_at_least=bounds)
        found = check("judgments", "parse_rate").find(tables, limits)
        assert found.level == level
        assert said in found.said


def test_what_is_harmful() -> None:
    levels: list[Level] = ["passed", "warning", "harmful"]
    found = [Finding("judgments", level, level, {}, "") for level in levels]
    assert [f.name for f in harmful(found)] == ["harmful"]


def test_texts_of_models_never_reach_a_sentence() -> None:
    """A reason that is none of ours is not repeated, and neither is an id."""
    tables = {"judgments": frame(judgment_id=["<b>"] * 4, score=[None] * 4, invalid=["<script>"] * 4)}
    for name in ("parse_rate", "duplicate_ids"):
        found = check("judgments", name).find(tables, LIMITS)
        assert found.level == "harmful"
        assert "<" not in found.said


# --------------------------------------------------------------------------------------------- what lies behind it


def dropped_for(**reasons: int) -> pl.DataFrame:
    """So many dropped for each reason, of prompts, and two responses without a score."""
    ids = [(f"{reason}{i}", reason, "{}") for reason, count in reasons.items() for i in range(count)]
    return dropped_frame([*ids, ("1.p.r0", "not_judged", "{}"), ("1.p.r1", "not_judged", "{}")])


NO_PAIRS = {**made("actor_pairs", 0, "responses", "prompt_id", 8)}
TOO_LONG = dropped_for(chosen_too_long=7, equal_scores=1)
CHOSEN = Departed("actor_pairs", "max_chosen_chars", 10, 2500, "iteration.max_chosen_chars")


def said(background: Background, name: str = "pair_yield", tables: Frames = NO_PAIRS) -> str:
    return check("actor_pairs", name).find(tables, LIMITS, background).said


@pytest.mark.parametrize("name", ["pair_yield", "not_empty"])
def test_a_finding_names_the_reason_the_setting_and_the_departure_behind_it(name: str) -> None:
    """All were too long because of a launchpad's value: that is to be taken back, and the bound is left alone."""
    text = said(Background(TOO_LONG, {"iteration.max_chosen_chars": 10}, (CHOSEN,)), name)
    assert "Most were dropped as chosen_too_long" in text
    assert "7 of 8, by iteration.max_chosen_chars = 10." in text
    assert "actor_pairs with max_chosen_chars = 10 (the recipe: 2500)" in text
    assert "go back to the recipe's value" in text
    assert check("actor_pairs", name).next not in text


def test_without_a_departure_the_setting_is_named_as_the_recipes() -> None:
    """Then what the check advises stands, too."""
    text = said(Background(TOO_LONG, {"iteration.max_chosen_chars": 10}))
    assert "by iteration.max_chosen_chars = 10. iteration.max_chosen_chars is as the recipe says." in text
    assert text.endswith(check("actor_pairs", "pair_yield").next)


def test_a_departure_that_does_not_decide_the_reason_is_not_blamed() -> None:
    """Of several fields that were chosen, the one behind the most frequent reason is named."""
    other = Departed("actor_pairs", "seed", 7, 0, "seed")
    text = said(Background(TOO_LONG, {"iteration.max_chosen_chars": 10}, (other, CHOSEN)))
    assert "max_chosen_chars = 10 (the recipe" in text
    assert "seed = 7" not in text


def test_a_departure_further_up_is_named_where_no_setting_decides_the_reason() -> None:
    """Judgments cut off by a launchpad's max_tokens have no score: that is where to go back."""
    cut = Departed("judgments", "max_tokens", 5, 128, "judgments.max_tokens")
    text = said(Background(dropped_for(no_valid_judgment=8), {}, (cut,)))
    assert "no_valid_judgment" in text
    assert "8 of 8." in text
    assert "judgments with max_tokens = 5 (the recipe: 128)" in text
    assert "materialize judgments again" in text


def test_every_check_names_a_departure_and_none_where_it_passes() -> None:
    """Also those that count no drops: what was chosen for the artifact is said before the bound is doubted."""
    chosen = Departed("judgments", "max_tokens", 5, 128, "judgments.max_tokens")
    parse_rate = check("judgments", "parse_rate")
    failed = parse_rate.find(judged(*[None] * 8), LIMITS, Background(None, {}, (chosen,)))
    assert "judgments with max_tokens = 5 (the recipe: 128)" in failed.said
    assert "departs" not in parse_rate.find(judged(*[4] * 8), LIMITS, Background(None, {}, (chosen,))).said


def test_the_settings_behind_reasons_are_settings_of_the_assets() -> None:
    """Each is stored with the asset that drops for it, under that path; each reason is known."""
    recipe = load_recipe("small_world_meta_rewarding")
    assert set(SETTINGS) <= set(REASONS)
    for reason, by_asset in SETTINGS.items():
        for asset in [a for a in by_asset if a]:
            assert setting_behind(asset, reason) in shaping_settings(recipe, asset, "1")
    assert set(LOOP) >= {asset for by_asset in SETTINGS.values() for asset in by_asset if asset}


def test_what_unreliable_scores_come_of() -> None:
    """MSB 2.016 and MSW 1.28: one judgment has 0.736 / 3.296 = 0.223, and 0.7 * 0.777 / (0.223 * 0.3) = 8.1 reach 0.7.

    Nothing is promised where the interval has 0 in it: MSB 2.016 and MSW 2. No number helps scores that are noise.
    Where another prompt gets other scores, all of its responses the same, that is said.
    """
    reliability = check("judgments", "score_reliability")
    weak = reliability.find(agreeing(*[(2, 0.8), (4, 0.8)] * 63), LIMITS)
    assert "With 9 judgments per response the mean would have 0.7." in weak.said
    assert weak.numbers["judgments for 0.7"] == 9
    slight = reliability.find(agreeing(*[(2, 1), (4, 1)] * 63), LIMITS)
    assert "As far as can be told the scores are noise" in slight.said and "judgments for 0.7" in slight.numbers
    noise = agreeing(*[(1, 1)] * 40)["judgments"]
    assert "As far as can be told the scores are noise" in reliability.find({"judgments": noise}, LIMITS).said
    other = noise.with_columns(pl.col("response_id").str.replace("p", "q"), pl.col("score") + 4)
    both = reliability.find({"judgments": pl.concat([noise, other])}, LIMITS)
    assert "The scores tell prompts apart, and hardly the responses of a prompt." in both.said
    assert both.level == "harmful"


def test_what_may_as_well_stop_as_pass_is_not_told() -> None:
    """Four responses of 0.25: anything from -1 to 0.94, which is beyond both bounds or none."""
    reliability = check("judgments", "score_reliability")
    few = agreeing(*[(2, 1), (4, 1)] * 2)
    found = reliability.find(few, LIMITS)
    assert found.passed
    assert "Too few to tell: it may be anything from -1 to 0.9" in found.said and "Came 0.25 " in found.said
    without = LIMITS.model_copy(update={"score_reliability_at_least": Bounds(warn=0.7, stop=None)})
    assert reliability.find(few, without).level == "warning"
    assert reliability.judge(found.measured._replace(interval=(0.24, 0.26)), LIMITS).level == "warning"  # type: ignore[union-attr]


def test_the_top_of_the_scale_is_the_recipes() -> None:
    """19 of 20 scores are 10: the highest of a scale from 1 to 10, and none of the paper's."""
    background = Background(settings={"judgments": {"lowest_score": 1, "highest_score": 10}})
    found = check("judgments", "top_score_share").find(judged(*[10] * 19, 4), LIMITS, background)
    assert (found.level, found.numbers["top scores"]) == ("warning", 19)
