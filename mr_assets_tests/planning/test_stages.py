"""What is asked of the engine and the trainer: the counts are those that the loop makes."""

from dataclasses import replace
from typing import Any

import pytest

from mr_assets.planning.lengths import Lengths
from mr_assets.planning.stages import BLOCK, Sampling, Stage, Training, stages
from mr_assets.recipes.recipe import Recipe
from mr_assets.recipes.sets import with_sets

BARE = Lengths(10, 20, 5, 7, (("", 0.0), ("prompt", 0.0), ("response", 0.0)), (), chat=0)


def found(recipe: Recipe, lengths: Lengths, asset: str, partition: str | None, shares: Any = None) -> Any:
    every: list[Stage] = stages(recipe, lengths, shares)
    return next(stage for stage in every if (stage.asset, stage.partition) == (asset, partition))


def test_ranked_replies_are_judged_before_the_first_training(paper: Recipe, lengths: Lengths) -> None:
    """169 replies, 11 judgments of each; uncounted, three to each of 2,400 prompts. From ranks nobody judges."""
    ranked = with_sets(paper, ["eft.source=open_assistant:trees.jsonl"])
    first, second = stages(ranked, lengths, None, 169)[:2]
    assert isinstance(first, Sampling)
    assert isinstance(second, Training)
    assert (first.title, first.requests, first.completions, first.at_most) == ("eft_judgments", 169, 1859, "")
    assert (second.asset, second.examples) == ("sft_checkpoint", 1630)  # of 1,859 at most
    uncounted = found(ranked, lengths, "eft_judgments", None)
    assert (uncounted.requests, "does not say" in uncounted.at_most) == (7200, True)
    form = with_sets(ranked, ["eft.judged_by=ranks", "eft.meta_judgment_share=0.25", "eft.instruction_share=0.25"])
    [only, *_] = stages(form, lengths, None, 169)
    assert isinstance(only, Training)
    assert only.examples == 338  # 169 are half


def test_the_papers_counts(paper: Recipe, lengths: Lengths) -> None:
    """5,000 prompts, K = 7, N = 11: 35,000 requests for 385,000 judgments, 110 battles for each prompt."""
    assert [(stage.asset, stage.partition) for stage in stages(paper, lengths)] == [
        ("sft_checkpoint", None),
        *((asset, t) for t in "12" for asset in ("responses", "judgments", "meta_judgments", "checkpoints")),
        *((asset, t) for t in "34" for asset in ("responses", "judgments", "checkpoints")),
    ]
    responses = found(paper, lengths, "responses", "1")
    assert (responses.requests, responses.completions, responses.at_most) == (5000, 35000, "")
    judgments = found(paper, lengths, "judgments", "1")
    assert (judgments.requests, judgments.completions) == (35000, 385_000)
    assert judgments.tokens_in == pytest.approx(385_000 * lengths.judge_prompt, abs=1)
    assert (judgments.tokens_out, judgments.prompt, judgments.answer) == (385_000 * 120, pytest.approx(835, abs=1), 120)
    assert "judged once" in judgments.at_most
    meta = found(paper, lengths, "meta_judgments", "2")
    assert (meta.requests, meta.completions, meta.tokens_out) == (550_000, 550_000, 550_000 * 250)
    trained = found(paper, lengths, "checkpoints", "1")
    assert (trained.examples, trained.epochs, trained.steps) == (10_000, 6, 6 * 313)
    assert trained.tokens == pytest.approx(2 * 5000 * (520 + 835.2 + 120), rel=1e-3)


def test_a_prefix_cache_saves_what_is_known_of_the_paper(paper: Recipe, lengths: Lengths) -> None:
    """14.7 times fewer prompt tokens in judging, 4.8 times in meta-judging: a hit rate of 79% there."""
    judgments, meta = (found(paper, lengths, asset, "1") for asset in ("judgments", "meta_judgments"))
    assert judgments.tokens_in / judgments.tokens_computed == pytest.approx(14.7, rel=0.05)
    assert meta.tokens_in / meta.tokens_computed == pytest.approx(4.8, rel=0.02)
    assert meta.cached == pytest.approx(0.79, abs=0.005)


def test_what_is_computed_by_hand(paper: Recipe) -> None:
    """Two prompts of 10 tokens, three responses of 20 each, judged four times.

    Each prompt is computed once and each response once: 2 x 10 + 6 x 20. Where beginnings part, and for every further
    sample, half a block (8 tokens) is computed again: by 6 responses and 6 x 3 samples. The first piece of all has
    nothing before it.
    """
    recipe = with_sets(paper, ["iterations.all.prompts=2", "responses.k=3", "judgments.n=4"])
    judged = found(recipe, BARE, "judgments", "1")
    assert judged.tokens_in == 24 * 30
    assert judged.tokens_computed == 2 * 10 + 6 * 20 + (6 + 6 * 3) * BLOCK / 2


def test_a_template_that_shows_the_response_first_shares_less(paper: Recipe, lengths: Lengths) -> None:
    """Then the prompt's tokens are computed for each response."""
    usual = found(paper, lengths, "judgments", "1")
    turned = replace(lengths, judge=tuple(lengths.judge[i] for i in (0, 3, 2, 1, 4)))
    other = found(paper, turned, "judgments", "1")
    assert other.tokens_in == usual.tokens_in
    # in place of 5,000 prompts 35,000 are computed, and half a block at the prompts' parting is not
    assert other.tokens_computed - usual.tokens_computed == pytest.approx(30_000 * (60 + 12 / 5) - 5000 * 8, abs=2)


def test_what_is_switched_off_is_not_planned(paper: Recipe, lengths: Lengths) -> None:
    """No SFT, no judge's side, and a cap on the judge pairs: with 1/5 there is one for four actor pairs."""
    recipe = with_sets(paper, ["sft=null", "iterations.1.judge_training=false", "switches.judge_share_cap=0.2"])
    assert [(s.asset, s.partition) for s in stages(recipe, lengths)][:4] == [
        *(("responses", "1"), ("judgments", "1"), ("checkpoints", "1"), ("responses", "2")),
    ]
    assert found(recipe, lengths, "checkpoints", "2").examples == 5000 + 1250


def test_every_epoch_of_the_schedule_is_trained_where_all_are_kept(paper: Recipe, lengths: Lengths) -> None:
    recipe = with_sets(paper, ["dpo.keep_all_epochs=true"])
    assert (found(recipe, lengths, "checkpoints", "4").epochs, found(paper, lengths, "checkpoints", "4").epochs) == (
        10,
        2,
    )


def test_shares_of_an_earlier_run_bring_the_bounds_down(paper: Recipe, lengths: Lengths) -> None:
    shares = {"judgments": 0.9, "meta_judgments": 0.5, "actor_pairs": 0.8, "elo_pairs": 0.7}
    assert found(paper, lengths, "judgments", "1", shares).requests == 31_500
    assert found(paper, lengths, "meta_judgments", "1", shares).requests == 275_000
    assert found(paper, lengths, "checkpoints", "1", shares).examples == 4000 + 3500


def test_every_model_answers_the_held_out_prompts(paper: Recipe, lengths: Lengths) -> None:
    """After the iteration that trains it; of a file that is not counted as many as Yuan et al. held out."""
    asked = with_sets(paper, ["held_out={source: p.jsonl, prompts: 200, per_prompt: 7}"])
    each = [stage for stage in stages(asked, lengths) if stage.asset == "held_out_responses"]
    assert [stage.partition for stage in each] == ["seed", "0", "1", "2", "3", "4"]
    assert {(s.requests, s.completions, s.at_most) for s in each if isinstance(s, Sampling)} == {(200, 1400, "")}
    uncounted = found(with_sets(paper, ["held_out={source: p.jsonl}"]), lengths, "held_out_responses", "seed")
    assert (uncounted.requests, "does not say" in uncounted.at_most) == (531, True)


def test_rewards_are_read_and_not_sampled(paper: Recipe, lengths: Lengths) -> None:
    """35,000 responses with their prompts, 60 + 2 * 5 + 450 tokens each, once; nothing comes out."""
    sets = ["reward_model={folder: rm-7b}", "iterations.all.judge_training=false"]
    sets += ["iterations.all.max_chosen_judgment_chars=null"]
    judgments = found(with_sets(paper, sets), lengths, "judgments", "1")
    assert (judgments.requests, judgments.completions, judgments.tokens_out) == (35_000, 35_000, 0)
    assert judgments.tokens_in == judgments.tokens_computed == 35_000 * 520
    assert judgments.by == "rm-7b"


@pytest.mark.parametrize("generator", [None, "models/llama-70b"])
def test_prompts_are_generated_by_the_seed_model_or_another(
    paper: Recipe, lengths: Lengths, generator: str | None
) -> None:
    """Eight examples and the request, 20,000 times."""
    made = with_sets(paper, [f"prompts={{source: generated, generator: {generator or 'null'}, count: 20000}}"])
    generated = [stage for stage in stages(made, lengths) if stage.asset == "generated_prompts"]
    assert [(each.requests, each.by) for each in generated if isinstance(each, Sampling)] == [(20_000, generator)]


def test_what_is_sampled_to_measure_a_judge(paper: Recipe, lengths: Lengths) -> None:
    """A quarter of the replies is held out, 56 beside 169; of labelled pairs both sides, and both orders."""
    ranked, labelled = "human_agreement={}", "labelled_pairs={source: p.jsonl, pairs: 350}"
    sets = ["eft.source=open_assistant:trees.jsonl", ranked, labelled]
    recipe = with_sets(paper, sets)
    by_model = [stage for stage in stages(recipe, lengths, None, 169) if stage.asset == "human_agreement"]
    assert [stage.partition for stage in by_model] == ["seed", "0", "1", "2", "3", "4"]
    [first, *_] = by_model
    assert isinstance(first, Sampling)
    assert (first.requests, first.completions) == (57, 57 * 11)  # three replies to each prompt
    assert first.prompt == pytest.approx(lengths.judge_prompt)
    alone = found(recipe, lengths, "labelled_pairs", "2")
    assert (alone.requests, alone.completions, alone.at_most) == (700, 7700, "")
    pairwise = with_sets(recipe, ["labelled_pairs.pairwise=true", "labelled_pairs.n=3"])
    both = found(pairwise, lengths, "labelled_pairs", "2")
    assert (both.requests, both.completions) == (1400, 700 * 3 + 700)
    uncounted = found(with_sets(recipe, ["labelled_pairs.pairs=null"]), lengths, "labelled_pairs", "2")
    assert (uncounted.requests, "does not say" in uncounted.at_most) == (700, True)


def test_every_model_judges_the_seeds_responses(paper: Recipe, lengths: Lengths) -> None:
    """200 prompts with 7 responses, of which equal ones are judged once: 1,400 at most, 11 judgments of each."""
    probed = with_sets(paper, ["held_out={source: p.jsonl, prompts: 200, per_prompt: 7}", "probe={}"])
    judged = found(probed, lengths, "probe_judgments", "2")
    assert (judged.requests, judged.completions) == (1400, 15400)
    assert judged.at_most


@pytest.mark.parametrize(
    ("judge", "by", "out"),
    [("seed", None, 120), ("models/judge-7b", "models/judge-7b", 120), ("reward_model:rm-7b", "rm-7b", 0)],
)
def test_the_judge_of_win_rates_reads_both_sides(
    paper: Recipe, lengths: Lengths, judge: str, by: str | None, out: int
) -> None:
    """200 responses of each model and as many of the seed's, 3 judgments of each; the seed's own once."""
    sets = ["held_out={source: p.jsonl, prompts: 200}", f"win_rates={{judge: '{judge}', n: 3}}"]
    own, seeds = (found(with_sets(paper, sets), lengths, "win_rates", model) for model in ("4", "seed"))
    n = 3 if out else 1
    assert (own.requests, own.completions, own.tokens_out, own.by) == (400, 400 * n, 400 * n * out, by)
    assert seeds.completions == 200 * n
