import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.method.conversations import Prompt, as_text, with_turns
from mr_assets.method.dpo_dataset import dpo_dataset, turned
from mr_assets.tables import ACTOR_PAIRS, DPO_DATASET, DROPPED, ELO_PAIRS, PROMPTS, Selected
from mr_assets.templates import Template, judge_template
from mr_assets_tests.method.tables import Answer, ids, shuffled, tables

TEMPLATE = Template("short", "Q {prompt} A {response} Score:", ("prompt", "response"))


class CodePoints:
    """An encoder that a reader can follow: code points, between 1 (start) and 2 (the assistant's turn)."""

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        return [1, *ids(as_text(prompt)), 2]

    def template_ids(self, template: Template, values: dict[str, str]) -> list[int]:
        return [1, *ids(template.fill(values)), 2]


SIDES = ("chosen", "rejected")


def actor_rows(*prompts: str) -> pl.DataFrame:
    rows = [(f"1.{p}.actor", p, f"1.{p}.r0", f"1.{p}.r1", 5, 1, 5, 1, 0, 4, 3) for p in prompts]
    return pl.DataFrame(rows, schema=ACTOR_PAIRS.schema, orient="row")


def judge_rows(*prompts: str) -> pl.DataFrame:
    rows = [(f"1.{p}.judge", f"1.{p}.r1", f"1.{p}.r1.j1", f"1.{p}.r1.j0", 1, -1, [-1, 1], 9, 9) for p in prompts]
    return pl.DataFrame(rows, schema=ELO_PAIRS.schema, orient="row")


def world(*prompts: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    responses, judgments = tables({p: [Answer("good", [5, 5]), Answer("bad", [1, 2])] for p in prompts})
    texts = pl.DataFrame([(p, f"ask {p}") for p in prompts], schema=PROMPTS.schema, orient="row")
    return responses, judgments, texts


def made(
    actor: pl.DataFrame, judge: pl.DataFrame, *prompts: str, cap: float | None = None, length: int | None = None
) -> Selected:
    return dpo_dataset(
        actor,
        judge,
        *world(*prompts),
        judge_template=TEMPLATE,
        encoder=CodePoints(),
        judge_share_cap=cap,
        max_length=length,
        seed=0,
    )


def test_an_actor_pair_is_a_conversation_about_the_prompt() -> None:
    """The prompt as the user's message, the two responses as the assistant's, and the ids as they were sampled."""
    rows = made(actor_rows("p"), judge_rows(), "p").rows
    DPO_DATASET.check(rows)
    row = rows.row(0, named=True)
    assert (row["pair_id"], row["kind"]) == ("1.p.actor", "actor")
    assert row["prompt"] == [{"role": "user", "content": "ask p"}]
    assert row["chosen"] == [{"role": "assistant", "content": "good"}]
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]
    assert row["prompt_token_ids"] == [1, *ids("ask p"), 2]
    assert (row["chosen_token_ids"], row["rejected_token_ids"]) == (ids("good"), ids("bad"))


def test_a_judge_pair_is_a_conversation_about_the_filled_template() -> None:
    """2.2: the judge is trained on the prompt that it judged by, with the response in it."""
    row = made(actor_rows(), judge_rows("p"), "p").rows.row(0, named=True)
    assert row["kind"] == "judge"
    assert row["prompt"] == [{"role": "user", "content": "Q ask p A bad Score:"}]
    assert row["chosen"] == [{"role": "assistant", "content": "judgment 1 of 1.p.r1"}]
    assert row["prompt_token_ids"] == [1, *ids("Q ask p A bad Score:"), 2]
    assert row["rejected_token_ids"] == ids("judgment 0 of 1.p.r1")


def test_text_that_looks_like_a_placeholder_stays_text() -> None:
    """Row 9: inserted text is never expanded again."""
    responses, judgments, prompts = world("p")
    prompts = prompts.with_columns(prompt=pl.lit("{response} Score: 5"))
    rows = dpo_dataset(
        actor_rows(), judge_rows("p"), responses, judgments, prompts,
        judge_template=judge_template(), encoder=CodePoints(), seed=0,
    ).rows  # fmt: skip
    content = rows["prompt"].item()[0]["content"]
    assert "User: {response} Score: 5\n" in content
    assert content.count("bad") == 1


def test_completions_keep_or_lack_the_end_token_as_sampled() -> None:
    """Row 21: a finished completion ends in the end token in training, a cut-off one does not: ids are not touched."""
    responses, judgments, prompts = world("p")
    ended = pl.when(pl.col("k") == 0).then(pl.lit([103, 2])).otherwise(pl.lit([98, 97]))
    responses = responses.with_columns(token_ids=ended.cast(responses.schema["token_ids"]))
    row = dpo_dataset(
        actor_rows("p"), judge_rows(), responses, judgments, prompts,
        judge_template=TEMPLATE, encoder=CodePoints(), seed=0,
    ).rows.row(0, named=True)  # fmt: skip
    assert (row["chosen_token_ids"], row["rejected_token_ids"]) == ([103, 2], [98, 97])


def test_pairs_beyond_the_maximal_length_are_dropped_not_cut() -> None:
    """Row 21: prompt 7 and longer completion 4: 11 tokens fit into 11, not into 10."""
    assert made(actor_rows("p"), judge_rows(), "p", length=11).rows.height == 1
    result = made(actor_rows("p"), judge_rows(), "p", length=10)
    assert result.rows.is_empty()
    assert result.dropped.select("id", "reason").rows() == [("1.p.actor", "too_long")]
    assert json.loads(result.dropped["numbers"][0]) == {
        "prompt_tokens": 7,
        "chosen_tokens": 4,
        "rejected_tokens": 3,
        "max_length": 10,
    }


def test_all_pairs_are_kept_without_a_cap() -> None:
    """Row 20: all pairs; sorted by pair_id."""
    result = made(actor_rows("p"), judge_rows("p", "q", "r"), "p", "q", "r")
    assert result.rows["pair_id"].to_list() == ["1.p.actor", "1.p.judge", "1.q.judge", "1.r.judge"]


@pytest.mark.parametrize(("cap", "judges"), [(0.0, 0), (0.2, 0), (0.25, 1), (0.4, 2), (0.5, 3), (1.0, 4)])
def test_cap_on_the_judge_share(cap: float, judges: int) -> None:
    """Row 20's switch: with 3 actor pairs, j judge pairs are a share of j / (3 + j): 1/4, 2/5, 1/2, ..."""
    result = made(actor_rows("p", "q", "r"), judge_rows("p", "q", "r", "s"), "p", "q", "r", "s", cap=cap)
    assert result.rows.filter(pl.col("kind") == "judge").height == judges
    assert result.rows.filter(pl.col("kind") == "actor").height == 3
    assert result.dropped["reason"].to_list() == ["judge_share_cap"] * (4 - judges)
    if judges < 4:
        numbers = json.loads(result.dropped["numbers"][0])
        assert numbers == {"actor_pairs": 3, "judge_pairs": 4, "judge_share_cap": cap}


def test_shuffled_judge_pairs_are_the_same_pairs_with_sides_by_a_coin() -> None:
    """Row 30: of 40 judge pairs about half change sides, text and tokens together; actor pairs keep theirs."""
    prompts = [f"p{n:02}" for n in range(40)]
    tables = (actor_rows(*prompts), judge_rows(*prompts), *world(*prompts))
    ranked, shuffled = (
        dpo_dataset(*tables, judge_template=TEMPLATE, encoder=CodePoints(), judge_pairs=how, seed=0).rows
        for how in ("as_ranked", "shuffled")
    )
    same = ["pair_id", "kind", "prompt", "prompt_token_ids"]
    assert shuffled.select(same).equals(ranked.select(same))
    changed = ranked.rename(
        {f"{a}{what}": f"{b}{what}" for a, b in (SIDES, SIDES[::-1]) for what in ("", "_token_ids")}
    ).select(ranked.columns)
    turns = [i for i in ranked["pair_id"] if i.endswith(".judge") and turned(i, 0)]
    assert 10 < len(turns) < 30
    of_those = pl.col("pair_id").is_in(turns)
    assert shuffled.filter(of_those).equals(changed.filter(of_those))
    assert shuffled.filter(~of_those).equals(ranked.filter(~of_those))
    assert turns != [i for i in ranked["pair_id"] if i.endswith(".judge") and turned(i, 1)]


def test_a_cap_that_is_no_share_is_refused() -> None:
    """A share is between 0 and 1; a percentage is not."""
    with pytest.raises(UserError, match="from 0 to 1, received 15"):
        made(actor_rows(), judge_rows(), cap=15)


def test_a_pair_of_a_response_that_is_gone_is_an_error() -> None:
    """Nothing vanishes silently in a join."""
    with pytest.raises(UserError, match=r"1 pairs name a prompt_id that prompts does not have \(first: q\)"):
        made(actor_rows("q"), judge_rows(), "p")
    responses, judgments, prompts = world("p")
    with pytest.raises(UserError, match=r"chosen_id that judgments does not have \(first: 1\.p\.r1\.j1\)"):
        dpo_dataset(
            actor_rows(), judge_rows("p"), responses, judgments.head(0), prompts,
            judge_template=TEMPLATE, encoder=CodePoints(), seed=0,
        )  # fmt: skip


def test_a_conversation_is_trained_on_as_turns() -> None:
    """The actor's pair has the turns; the judge's has the judge prompt with the conversation as one text."""
    responses, judgments, _ = world("p")
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho"},
        {"role": "user", "content": "Why?"},
    ]
    prompts = with_turns([turns]).select(pl.lit("p").alias("prompt_id"), "prompt", "turns")
    rows = dpo_dataset(
        actor_rows("p"), judge_rows("p"), responses, judgments, prompts,
        judge_template=TEMPLATE, encoder=CodePoints(), seed=0,
    ).rows  # fmt: skip
    DPO_DATASET.check(rows)
    actor, judge = rows["prompt"].to_list()
    assert actor == turns
    [asked] = judge
    assert "Hi\n\nAssistant: Ho\n\nUser: Why?" in asked["content"]
    assert rows["prompt_token_ids"].to_list()[0] == [1, *ids("Hi\n\nAssistant: Ho\n\nUser: Why?"), 2]


def test_no_pairs_make_empty_tables() -> None:
    """Iterations without judge training bring an empty judge table; both may be empty."""
    result = made(actor_rows(), judge_rows())
    DPO_DATASET.check(result.rows)
    DROPPED.check(result.dropped)


@given(st.integers(0, 99), st.sampled_from([None, 0.3]), st.sampled_from([None, 30]))
def test_row_order_does_not_matter(seed: int, cap: float | None, length: int | None) -> None:
    """Draws belong to ids: any order of rows, scanned or not, gives the same dataset."""
    responses, judgments, prompts = world(*"pqrs")
    actor, judge = actor_rows(*"pqrs"), judge_rows(*"prs")

    def build(*frames: pl.DataFrame | pl.LazyFrame) -> Selected:
        actor, judge, responses, judgments, prompts = frames
        return dpo_dataset(
            actor, judge, responses, judgments, prompts,
            judge_template=TEMPLATE, encoder=CodePoints(), judge_share_cap=cap, max_length=length, seed=0,
        )  # fmt: skip

    straight = build(actor, judge, responses, judgments, prompts)
    mixed = build(*(shuffled(frame, seed).lazy() for frame in (actor, judge, responses, judgments, prompts)))
    assert straight.rows.equals(mixed.rows)
    assert straight.dropped.equals(mixed.dropped)
