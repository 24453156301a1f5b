"""The tree that `mr trace` prints: what it says of each kind of id, and that no text acts on the terminal."""

import re

import polars as pl
import pytest

from mr_assets.ids import short
from mr_assets.lineage import trace
from mr_assets.lineage.facts import MARGIN_NOTE
from mr_assets.lineage.tree import BRIEF, brief, lines
from mr_assets.runs.run import Run
from mr_assets.training.margins import MARGINS
from mr_assets.worlds import letters
from mr_assets_tests.lineage.conftest import rematerialized, table, with_hostile_texts
from mr_assets_tests.test_printable import HOSTILE

ESCAPES = "".join(HOSTILE) + "\n[red]markup[/] <script>alert(1)</script>"


def tree(run: Run, identity: str, full: bool = False) -> str:
    return "\n".join(lines(trace(run, identity), full=full))


def ids(run: Run) -> list[str]:
    """One id of each kind."""
    actor, judge = (table(run, a).row(0, named=True) for a in ("actor_pairs", "elo_pairs"))
    battle = table(run, "meta_judgments")["meta_judgment_id"][0]
    return [
        actor["pair_id"],
        actor["prompt_id"],
        actor["chosen_id"],
        judge["pair_id"],
        judge["chosen_id"],
        battle,
        "M1",
    ]


def test_an_actor_pairs_tree(finished: Run) -> None:
    """Prompt, both sides, the rule with its numbers, all responses with all judgments, the models, the runs."""
    pair = table(finished, "actor_pairs").row(0, named=True)
    said = tree(finished, pair["pair_id"])
    prompt = table(finished, "prompts").filter(prompt_id=pair["prompt_id"])["prompt"][0]
    assert said.splitlines()[0] == f"pair {pair['pair_id']}, run tiny"
    assert f'prompt {pair["prompt_id"]} "{prompt}"' in said
    assert f"chosen {pair['chosen_id']}: score {pair['chosen_score']:.4g}, {pair['chosen_chars']} characters" in said
    assert f"rule: Smax {pair['score_max']:.4g}, Smin {pair['score_min']:.4g}, rho 0" in said
    judgments = table(finished, "judgments").filter(pl.col("judgment_id").str.contains(pair["prompt_id"]))
    assert said.count(": score ") >= judgments["score"].count()
    for name in ("M1 was trained on it", "M0 in ", "finetuned from the seed model"):
        assert name in said
    for asset in ("prompts", "responses", "judgments", "actor_pairs", "dpo_dataset", "checkpoints"):
        record = finished.record(asset, "1")
        assert record is not None
        assert f"[{asset} of iteration 1, Dagster run {record.run_id[:8]}]" in said
        assert record.run_id in said


def test_fifteen_lines_answer_the_question(finished: Run) -> None:
    """Of every kind of id: what it is, who wrote it, what came of it, and how to see more; each line of the tree's."""
    for identity in ids(finished):
        said = list(brief(trace(finished, identity)))
        assert len(said) <= BRIEF
        assert said[0].endswith(f" {identity}, run tiny")
        assert said[-1].startswith("└─ --more: ")
        if identity != "M1":
            assert any("written by M0" in line for line in said)
            assert any("M1 was trained on it" in line for line in said)
    for asset, worth in (("actor_pairs", "score"), ("elo_pairs", "Elo")):
        pair = table(finished, asset).row(0, named=True)
        said = list(brief(trace(finished, pair["pair_id"])))
        for side in ("chosen", "rejected"):
            value = pair[f"{side}_{worth.lower()}"]
            head = f"{side} {pair[f'{side}_id']}: {worth} {value:.4g}, {pair[f'{side}_chars']} characters"
            assert any(head in line for line in said)
        assert [line for line in said if "rule: " in line]
        assert [line for line in said if "reward margin: 0 before, " in line]


def test_fifteen_lines_begin_with_what_is_stale(run: Run) -> None:
    pair = table(run, "actor_pairs")["pair_id"][0]
    rematerialized(run, "judgments")
    said = list(brief(trace(run, pair)))
    assert said[1].startswith("├─ STALE: ")
    assert len(said) <= BRIEF


def test_where_a_world_knows_the_truth_the_tree_says_it(finished: Run) -> None:
    """Of every response its true score, of every judgment whether it is exact, of the pair whom the truth is with."""
    prompts, responses = dict(table(finished, "prompts").iter_rows()), table(finished, "responses")
    for pair in table(finished, "actor_pairs").to_dicts():
        said = tree(finished, pair["pair_id"])
        texts = dict(responses.filter(prompt_id=pair["prompt_id"]).select("response_id", "response").iter_rows())
        true = {i: letters.true_score(prompts[pair["prompt_id"]], text) for i, text in texts.items()}
        for identity, score in true.items():
            assert re.search(rf"{short(identity)}[^\n]*: [^\n]*true score {score}\b", said)
        gap = true[pair["chosen_id"]] - true[pair["rejected_id"]]
        word = "chosen is truly better" if gap > 0 else "contradicts the truth" if gap < 0 else "truly equal"
        assert f"truth: {word}" in said or word in said
        [round_] = trace(finished, pair["pair_id"]).rounds
        for judgment in (j for r in round_.responses for j in r.judgments):
            if judgment.score is None:
                continue
            off = judgment.score - true[judgment.id.rpartition(".j")[0]]
            how = f"off by {abs(off):g}, too {'high' if off > 0 else 'low'}" if off else "exact"
            assert re.search(rf"{short(judgment.id)}: score {judgment.score:g}, {how}", said)


def test_a_judge_pairs_tree(finished: Run) -> None:
    """Variances, each battle in both orders, weights, the matrix, connectivity and Elo."""
    pair = table(finished, "elo_pairs").row(0, named=True)
    matrix = table(finished, "battle_matrices").filter(response_id=pair["response_id"]).row(0, named=True)
    said = tree(finished, pair["pair_id"])
    assert f"judged: {pair['response_id']}, variance" in said
    assert f"omega 1 {matrix['omega_1']:.4g}, omega 2 {matrix['omega_2']:.4g}" in said
    assert "strongly connected" in said
    names = [i.rpartition(".")[2] for i in matrix["judgment_ids"]]
    for first in names:
        for second in names:
            assert (f"{first} against {second}: " in said) == (first != second)
    assert f"Elo (ridge {finished.recipe.switches.elo_ridge:g}" in said
    ranked = sorted(zip(pair["elo"], names, strict=True), key=lambda both: -both[0])
    assert ", ".join(f"{name} {elo:.4g}" for elo, name in ranked) in said


def test_reward_margins_before_and_after(run: Run) -> None:
    """Pair 3 of the dataset: chosen 3/4, rejected 1/4. Without the table it says that nothing was recorded."""
    pair = table(run, "dpo_dataset")["pair_id"][3]
    batches = "mean of the batches 0.1 at the first step, 0.1 over the last epoch"
    assert f"reward margin: 0 before, 0.5 after (chosen +0.75, rejected +0.25); {batches}" in tree(run, pair)
    (run.path("checkpoints", "1") / MARGINS).unlink()
    said = tree(run, pair)
    assert f"reward margin: 0 before, not recorded after; {batches}" in said
    assert MARGIN_NOTE in said


def test_whole_texts_are_a_click_away(finished: Run) -> None:
    """--full prints every line of a text under its id."""
    judgment = table(finished, "judgments").row(0, named=True)
    full = tree(finished, judgment["judgment_id"], full=True)
    for line in judgment["judgment"].split("\n"):
        assert f"| {line}" in full


def test_a_model_lists_its_first_pairs(finished: Run) -> None:
    said = tree(finished, "M1")
    pairs = sorted(table(finished, "dpo_dataset")["pair_id"])
    assert pairs[0] in said
    assert pairs[-1] not in said
    assert f"and {len(pairs) - 3} more: --full" in said
    assert pairs[-1] in tree(finished, "M1", full=True)


@pytest.mark.parametrize("full", [False, True])
def test_no_text_of_a_model_acts_on_the_terminal(run: Run, full: bool) -> None:
    """Prompts, responses, judgments and meta-judgments with every hostile character: all of it is spelled out."""
    with_hostile_texts(run, ESCAPES)
    for identity in ids(run):
        said = tree(run, identity, full)
        assert all(c.isprintable() or c == "\n" for c in said)
        if identity != "M1":
            assert r"\x1b[2J" in said
            assert len(said.splitlines()) == len(said.split("\n"))


def test_what_is_stale_is_said_first(run: Run) -> None:
    rematerialized(run, "judgments")
    pair = table(run, "actor_pairs")["pair_id"][0]
    second = tree(run, pair).splitlines()[1]
    assert second.startswith("├─ STALE: actor_pairs of iteration 1 (Dagster run ")


def test_why_there_is_no_pair_is_said(finished: Run) -> None:
    """The second iteration trains no judge."""
    prompt = table(finished, "prompts", "2")["prompt_id"][0]
    assert "no judge pair: this iteration trains the actor alone" in tree(finished, f"2.{prompt}.judge")
