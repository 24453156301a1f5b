"""One whole iteration with the real engine and trainer: every table against its ancestors, in plain Python.

The numbers come from a command that a person types; what is expected of them is worked out here, without the product's
functions, from the rules of the method (sections 2.1, 2.2, 3.1 and A.3).
"""

import json
import re
import shutil
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from itertools import permutations
from statistics import pvariance
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.optimize import root

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.tables import dropped_path, version_of
from mr_assets.templates import judge_template
from mr_assets.training.margins import MARGINS
from mr_assets_tests.real_run import (
    KEYS,
    ONE_ITERATION,
    PATIENCE,
    RealRun,
    Row,
    alive,
    check_token_identity,
    descendants,
    mr,
    started,
    wait_for,
)

pytestmark = pytest.mark.slow

RHO, MAX_CHOSEN_CHARS, MAX_CHOSEN_JUDGMENT_CHARS, RIDGE = Fraction("0.32"), 40, 85, 0.01
K, N, PROMPTS = 4, 5, 20
PARENTS = {
    "policy": {"sft_checkpoint"},
    "prompts": {"seed_prompts"},
    "responses": {"prompts", "policy"},
    "judgments": {"prompts", "responses", "policy"},
    "actor_pairs": {"responses", "judgments"},
    "selected_responses": {"responses", "judgments"},
    "meta_judgments": {"prompts", "responses", "selected_responses", "judgments", "policy"},
    "battle_matrices": {"selected_responses", "meta_judgments"},
    "elo_pairs": {"battle_matrices", "judgments"},
    "dpo_dataset": {"prompts", "responses", "judgments", "actor_pairs", "elo_pairs", "policy"},
    "checkpoints": {"dpo_dataset", "policy"},
}
WRITTEN_BY_THE_POLICY = ("responses", "judgments", "meta_judgments", "dpo_dataset", "checkpoints")


@pytest.fixture(scope="module")
def run(one_iteration: RealRun, tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """A copy, in whose folder these tests run further commands."""
    data = tmp_path_factory.mktemp("run") / "data"
    shutil.copytree(one_iteration.data, data)
    return replace(one_iteration, data=data)


# ------------------------------------------------------------------------------------------------------- ids, texts


def test_every_id_resolves_and_spells_its_ancestors(run: RealRun) -> None:
    """``{t}.{prompt_id}.r{k}``, ``{response_id}.j{n}``, ``{response_id}.j{m}-j{n}``, ``{t}.{prompt_id}.actor``."""
    prompts, responses, judgments = (run.by_id(a) for a in ("prompts", "responses", "judgments"))
    assert len(prompts) == PROMPTS
    assert all(re.fullmatch(r"[0-9a-f]{12}", i) for i in prompts)
    assert {(r["prompt_id"], r["k"]) for r in responses.values()} == {(p, k) for p in prompts for k in range(K)}
    for i, r in responses.items():
        assert i == f"1.{r['prompt_id']}.r{r['k']}"
    judged = {i for i, r in responses.items() if r["duplicate_of"] is None}
    assert {(j["response_id"], j["n"]) for j in judgments.values()} == {(r, n) for r in judged for n in range(N)}
    for i, j in judgments.items():
        assert i == f"{j['response_id']}.j{j['n']}"
    for i, m in run.by_id("meta_judgments").items():
        first, second = judgments[m["first_id"]], judgments[m["second_id"]]
        assert first["response_id"] == second["response_id"] == m["response_id"]
        assert i == f"{m['response_id']}.j{first['n']}-j{second['n']}"
    for i, pair in run.by_id("actor_pairs").items():
        assert i == f"1.{pair['prompt_id']}.actor"
        assert {responses[pair[side]]["prompt_id"] for side in ("chosen_id", "rejected_id")} == {pair["prompt_id"]}
    for i, pair in run.by_id("elo_pairs").items():
        assert i == f"1.{responses[pair['response_id']]['prompt_id']}.judge"
        assert {judgments[pair[side]]["response_id"] for side in ("chosen_id", "rejected_id")} == {pair["response_id"]}


def test_duplicates_name_the_first_identical_response(run: RealRun) -> None:
    """Row by row in the order of k, the first response with a text has no ``duplicate_of``; later ones name it."""
    first: dict[tuple[str, str], str] = {}
    for r in sorted(run.table("responses"), key=lambda r: (r["prompt_id"], r["k"])):
        original = first.setdefault((r["prompt_id"], r["response"]), r["response_id"])
        assert r["duplicate_of"] == (None if original == r["response_id"] else original)


def test_scores_reparse_from_the_texts(run: RealRun) -> None:
    """A judgment's score is what stands after "Score:" in it, if that is one number from 0 to 5."""
    judgments = run.table("judgments")
    assert [naive_score(j["judgment"]) for j in judgments] == [j["score"] for j in judgments]
    assert all((j["score"] is None) == (j["invalid"] is not None) for j in judgments)


def naive_score(text: str) -> float | None:
    found = re.findall(r"Score:\s*(\S+)", text)
    values = {float(word) if re.fullmatch(r"\d+(\.\d+)?", word) else None for word in found}
    value = values.pop() if len(values) == 1 else None
    return value if value is not None and value <= 5 else None


def test_winners_reparse_from_the_texts(run: RealRun) -> None:
    """The winner is whom "Winner: Judgement ..." names; a battle that was not fought has none."""
    for m in run.table("meta_judgments"):
        named = set(re.findall(r"Winner:\s*Judgement (\w+)", m["meta_judgment"] or ""))
        expected = {"A": "first", "B": "second"}.get(named.pop()) if len(named) == 1 else None
        assert m["winner"] == expected
        assert (m["winner"] is None) == (m["invalid"] is not None)


# ---------------------------------------------------------------------------------------------------- actor's side


def valid_scores(run: RealRun) -> dict[str, list[Fraction]]:
    """The valid scores of every response that is not a duplicate, as exact numbers."""
    scores: dict[str, list[Fraction]] = {r["response_id"]: [] for r in run.table("responses") if not r["duplicate_of"]}
    for j in run.table("judgments"):
        if j["score"] is not None:
            scores[j["response_id"]].append(Fraction(str(j["score"])))
    return scores


def test_actor_pairs_are_those_of_section_2_1(run: RealRun) -> None:
    """Chosen: shortest in [(1-rho)Smax + rho Smin, Smax]; rejected: longest in [Smin, (1-rho)Smin + rho Smax].

    A response that was cut off is never chosen. Equally long ones are drawn, so that a set is expected.
    """
    responses, pairs, dropped = run.by_id("responses"), run.by_id("actor_pairs"), run.dropped("actor_pairs")
    means: dict[str, dict[str, Fraction]] = defaultdict(dict)
    for i, scores in valid_scores(run).items():
        if scores:
            means[responses[i]["prompt_id"]][i] = sum(scores, Fraction(0)) / len(scores)
        else:
            assert dropped[i][0] == "no_valid_judgment"
    for prompt in run.by_id("prompts"):
        pair = pairs.get(f"1.{prompt}.actor")
        reason, chosen, rejected = naive_pair(means[prompt], responses)
        if reason:
            assert pair is None
            assert dropped[prompt][0] == reason
            continue
        assert pair is not None and prompt not in dropped
        assert pair["chosen_id"] in chosen and pair["rejected_id"] in rejected
        assert pair["chosen_score"] == pytest.approx(float(means[prompt][pair["chosen_id"]]), abs=1e-9)
        assert pair["rejected_score"] == pytest.approx(float(means[prompt][pair["rejected_id"]]), abs=1e-9)
        assert pair["score_max"] == pytest.approx(float(max(means[prompt].values())), abs=1e-9)
        assert pair["score_min"] == pytest.approx(float(min(means[prompt].values())), abs=1e-9)
    assert pairs, "without any pair nothing was tested"


def naive_pair(means: dict[str, Fraction], responses: dict[str, Row]) -> tuple[str | None, set[str], set[str]]:
    """Why there is no pair, or the responses that may be chosen and those that may be rejected."""
    if len(means) < 2:
        return ("single_response" if means else "no_valid_judgment"), set(), set()
    high, low = max(means.values()), min(means.values())
    if high == low:
        return "equal_scores", set(), set()
    length = {i: len(responses[i]["response"]) for i in means}
    finished = {i for i in means if responses[i]["finish_reason"] == "stop"}
    top = {i for i, mean in means.items() if mean >= (1 - RHO) * high + RHO * low} & finished
    bottom = {i for i, mean in means.items() if mean <= (1 - RHO) * low + RHO * high}
    if not top:
        return "no_eligible_chosen", set(), set()
    shortest, longest = min(length[i] for i in top), max(length[i] for i in bottom)
    if shortest > MAX_CHOSEN_CHARS:
        return "chosen_too_long", set(), set()
    return None, {i for i in top if length[i] == shortest}, {i for i in bottom if length[i] == longest}


# ---------------------------------------------------------------------------------------------------- judge's side


def test_selected_responses_vary_most(run: RealRun) -> None:
    """Per prompt a response with the highest variance (ddof 0, two valid scores at least, above 0); else none."""
    responses, dropped = run.by_id("responses"), run.dropped("selected_responses")
    selected = {row["prompt_id"]: row for row in run.table("selected_responses")}
    variances: dict[str, dict[str, Fraction]] = defaultdict(dict)
    for i, scores in valid_scores(run).items():
        variances[responses[i]["prompt_id"]][i] = pvariance(scores) if len(scores) > 1 else Fraction(0)
    for prompt, found in variances.items():
        most = max(found.values())
        if most == 0:
            assert prompt not in selected and prompt in dropped
            continue
        chosen = selected[prompt]
        assert found[chosen["response_id"]] == most
        assert chosen["score_variance"] == pytest.approx(float(most), abs=1e-9)
        assert set(found) == {chosen["response_id"], *(i for i in found if i in dropped)}
    assert selected.keys() <= variances.keys()


def test_every_ordered_pair_of_valid_judgments_has_a_battle(run: RealRun) -> None:
    """N(N-1) battles per selected response; equal texts are not fought, and equal ordered texts only once."""
    judgments, battles = run.by_id("judgments"), run.by_id("meta_judgments")
    expected = set()
    for row in run.table("selected_responses"):
        valid = [i for i, j in judgments.items() if j["response_id"] == row["response_id"] and j["score"] is not None]
        expected |= set(permutations(valid, 2))
    assert {(m["first_id"], m["second_id"]) for m in battles.values()} == expected
    sampled: dict[tuple[str, str, str], str] = {}
    for i, m in battles.items():
        texts = judgments[m["first_id"]]["judgment"], judgments[m["second_id"]]["judgment"]
        if texts[0] == texts[1]:
            assert (m["meta_judgment"], m["winner"], m["invalid"]) == (None, None, "identical_battle")
        elif m["copied_from"] is None:
            assert m["meta_judgment"] is not None
            assert sampled.setdefault((m["response_id"], *texts), i) == i, "the same battle was sampled twice"
    for m in battles.values():
        if m["copied_from"] is not None:
            source = battles[m["copied_from"]]
            texts = judgments[m["first_id"]]["judgment"], judgments[m["second_id"]]["judgment"]
            assert sampled[(m["response_id"], *texts)] == source["meta_judgment_id"]
            assert (m["meta_judgment"], m["winner"]) == (source["meta_judgment"], source["winner"])


def test_matrices_sum_the_battles(run: RealRun) -> None:
    """B_mn = w1 [r_mn = 1] + w2 [r_nm = -1]; w1, w2 the shares of wins in second and first position, over all."""
    battles = run.table("meta_judgments")
    first = sum(m["winner"] == "first" for m in battles)
    second = sum(m["winner"] == "second" for m in battles)
    w1, w2 = (second / (first + second), first / (first + second)) if first + second else (0.5, 0.5)
    wins: dict[tuple[str, str], float] = defaultdict(float)
    for m in battles:
        if m["winner"] == "first":
            wins[m["first_id"], m["second_id"]] += w1
        elif m["winner"] == "second":
            wins[m["second_id"], m["first_id"]] += w2
    matrices = run.by_id("battle_matrices")
    assert matrices.keys() == {m["response_id"] for m in battles}
    for i, row in matrices.items():
        ids = row["judgment_ids"]
        assert ids == sorted({m["first_id"] for m in battles if m["response_id"] == i}, key=lambda j: int(j[-1]))
        assert (row["omega_1"], row["omega_2"]) == pytest.approx((w1, w2), abs=1e-12)
        assert (row["win_first"], row["win_second"]) == (first, second)
        assert np.array(row["matrix"]) == pytest.approx(np.array([[wins[a, b] for b in ids] for a in ids]), abs=1e-12)


def naive_elo(matrix: list[list[float]]) -> np.ndarray:
    """argmax of sum B_mn log sigmoid(e_m - e_n) - ridge/2 sum e^2: where its gradient is 0, as it is concave."""
    b = np.array(matrix)

    def beaten(e: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(e[:, None] - e[None, :]))

    def gradient(e: np.ndarray) -> np.ndarray:
        surprise = b * beaten(e)
        return surprise.sum(axis=1) - surprise.sum(axis=0) - RIDGE * e

    def hessian(e: np.ndarray) -> np.ndarray:
        curvature = (b + b.T) * beaten(e) * (1 - beaten(e))
        return curvature - np.diag(curvature.sum(axis=1) + RIDGE)

    found = root(gradient, np.zeros(len(b)), jac=hessian, tol=1e-12)
    assert np.abs(gradient(found.x)).max() < 1e-9
    return found.x


def test_elo_pairs_are_the_highest_and_the_lowest(run: RealRun) -> None:
    """Elo solved again by scipy, matrix by matrix; the chosen judgment is not cut off and not too long."""
    judgments, dropped = run.by_id("judgments"), run.dropped("elo_pairs")
    pairs = {pair["response_id"]: pair for pair in run.table("elo_pairs")}
    for i, row in run.by_id("battle_matrices").items():
        elo = dict(zip(row["judgment_ids"], naive_elo(row["matrix"]), strict=True))
        top = {j for j, e in elo.items() if e > max(elo.values()) - 1e-6 and judgments[j]["finish_reason"] == "stop"}
        bottom = {j for j, e in elo.items() if e < min(elo.values()) + 1e-6}
        told = pairs[i]["elo"] if i in pairs else dropped[i][1]["elo"]
        assert told == pytest.approx(list(elo.values()), abs=1e-6)
        if i in pairs:
            pair = pairs[i]
            assert i not in dropped
            assert pair["chosen_id"] in top and pair["rejected_id"] in bottom
            assert pair["chosen_elo"] == pytest.approx(elo[pair["chosen_id"]], abs=1e-6)
            assert pair["rejected_elo"] == pytest.approx(elo[pair["rejected_id"]], abs=1e-6)
            assert pair["chosen_elo"] - pair["rejected_elo"] > 1e-6
            texts = [judgments[pair[side]]["judgment"] for side in ("chosen_id", "rejected_id")]
            assert texts[0] != texts[1]
            assert len(texts[0]) == pair["chosen_chars"] <= MAX_CHOSEN_JUDGMENT_CHARS
        elif max(elo.values()) - min(elo.values()) <= 1e-6:
            assert dropped[i][0] == "equal_elo"
        elif not top:
            assert dropped[i][0] == "no_eligible_chosen"
        else:
            longest = max(len(judgments[j]["judgment"]) for j in top)
            texts_at = [{judgments[j]["judgment"] for j in side} for side in (top, bottom)]
            possible = {"chosen_too_long"} if longest > MAX_CHOSEN_JUDGMENT_CHARS else set()
            possible |= {"identical_texts"} if texts_at[0] & texts_at[1] else set()
            assert dropped[i][0] in possible
    assert pairs, "without any pair nothing was tested"


# ------------------------------------------------------------------------------------------------- dataset and model


def test_what_is_kept_and_what_is_dropped_is_all_there_is(run: RealRun) -> None:
    """Every candidate is in an asset's table or in its dropped rows, and in one of them alone."""
    prompts, responses = set(run.by_id("prompts")), run.by_id("responses")
    originals = {i for i, r in responses.items() if r["duplicate_of"] is None}
    selected = {row["response_id"] for row in run.table("selected_responses")}
    matrices = set(run.by_id("battle_matrices"))
    pairs = set(run.by_id("actor_pairs")) | set(run.by_id("elo_pairs"))
    rated = {i for i, scores in valid_scores(run).items() if scores}

    def parted(asset: str, kept: set[str], candidates: set[str], of: set[str] | None = None) -> None:
        lost = run.dropped(asset).keys() & (of if of is not None else candidates)
        assert kept | lost == candidates, asset
        assert not kept & lost, asset

    parted("responses", {r["prompt_id"] for r in responses.values()}, prompts)
    parted("judgments", {j["response_id"] for j in run.table("judgments")}, originals)
    parted("actor_pairs", {pair["prompt_id"] for pair in run.table("actor_pairs")}, prompts)
    parted("actor_pairs", rated, originals)
    parted("selected_responses", selected, originals)
    parted("selected_responses", {responses[i]["prompt_id"] for i in selected}, prompts)
    parted("battle_matrices", matrices, selected)
    parted("elo_pairs", {pair["response_id"] for pair in run.table("elo_pairs")}, matrices)
    parted("dpo_dataset", set(run.by_id("dpo_dataset")), pairs)
    for asset in ("responses", "judgments", "actor_pairs", "selected_responses", "meta_judgments", "elo_pairs"):
        assert run.record(asset)["rows"] == len(run.table(asset))
        assert run.record(asset)["dropped"] == len(run.dropped(asset))


def test_what_is_trained_on_is_what_was_sampled(run: RealRun, tokenizer: Any) -> None:
    """Texts and token ids of the dataset are those of the tables, of the engine, and of the chat template."""
    check_token_identity(run, 1, tokenizer)
    kinds = {row["kind"] for row in run.table("dpo_dataset")}
    assert kinds == {"actor", "judge"}
    assert {row["prompt_token_ids"].count(tokenizer.bos_token_id) for row in run.table("dpo_dataset")} == {1}


def test_prompts_are_encoded_as_the_encoder_says(run: RealRun) -> None:
    """The judge is asked with the paper's prompt, word for word, and the policy with the user's message alone."""
    encode, judge = ChatEncoder.load(run.folder("sft_checkpoint")), judge_template()
    prompts, responses, elo = run.by_id("prompts"), run.by_id("responses"), run.by_id("elo_pairs")
    for i, row in run.by_id("dpo_dataset").items():
        if row["kind"] == "actor":
            prompt = prompts[i.split(".")[1]]["prompt"]
            expected, ids = prompt, encode.prompt_ids(prompt)
        else:
            response = responses[elo[i]["response_id"]]
            values = {"prompt": prompts[response["prompt_id"]]["prompt"], "response": response["response"]}
            expected, ids = judge.text, encode.template_ids(judge, values)
            expected = expected.replace("{prompt}", values["prompt"]).replace("{response}", values["response"])
        assert row["prompt"] == [{"role": "user", "content": expected}]
        assert row["prompt_token_ids"] == ids


@pytest.fixture(scope="module")
def tokenizer(run: RealRun) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(run.folder("sft_checkpoint"), local_files_only=True)


def test_records_name_policy_run_and_inputs(run: RealRun) -> None:
    """A record has the Dagster run, the policy's fingerprint, and each input in the version that lies there."""
    parent = run.record("sft_checkpoint", None)["model"]
    assert parent["fingerprint"] == fingerprint(run.folder("sft_checkpoint"))
    assert run.record("policy")["model"] == parent
    versions = {a: run.record(a, None)["version"] for a in ("seed_prompts", "eft_dataset", "sft_checkpoint")}
    versions |= {asset: run.record(asset)["version"] for asset in PARENTS}
    with dg.DagsterInstance.from_config(str(run.data / ".dagster")) as history:
        for asset, parents in PARENTS.items():
            record = run.record(asset)
            assert (record["asset"], record["partition"]) == (asset, "1")
            assert record["inputs"] == {parent: versions[parent] for parent in parents}
            assert record["policy"] == (parent["fingerprint"] if asset in WRITTEN_BY_THE_POLICY else None)
            made_by = history.get_run_by_id(record["run_id"])
            assert made_by is not None and made_by.status == dg.DagsterRunStatus.SUCCESS
            assert dg.AssetKey(["t", asset]) in (made_by.asset_selection or ())
    for asset in KEYS:
        assert version_of(pl.scan_parquet(run.folder(asset) / "1.parquet")) == versions[asset]


@pytest.mark.parametrize("model", ["seed", "0", "1"])
def test_each_models_judge_is_held_against_the_truth(run: RealRun, model: str) -> None:
    """Agreement with the ranks of six prompts, and accuracy on six pairs, from the scores that the tables have."""

    def measured(asset: str) -> tuple[list[Row], dict[str, float]]:
        table, record = (run.folder(asset) / f"{model}.{suffix}" for suffix in ("parquet", "json"))
        return pl.read_parquet(table).to_dicts(), json.loads(record.read_text())["numbers"]

    def mean(scores: list[float | None]) -> Fraction | None:
        valid = [Fraction(score) for score in scores if score is not None]
        return sum(valid, Fraction(0)) / len(valid) if valid else None

    def right(better: Fraction | None, worse: Fraction | None) -> Fraction:
        if better is None or worse is None or better == worse:
            return Fraction(1, 2)
        return Fraction(better > worse)

    replies, numbers = measured("human_agreement")
    pairs = [(a, b) for a in replies for b in replies if a["prompt_id"] == b["prompt_id"] and a["rank"] < b["rank"]]
    assert (len(replies), len(pairs)) == (18, 18)
    found = [right(mean(a["scores"]), mean(b["scores"])) for a, b in pairs]
    assert numbers["agreement"] == pytest.approx(float(sum(found) / 18))
    assert numbers["agreement_low"] <= numbers["agreement"] <= numbers["agreement_high"]

    labelled, numbers = measured("labelled_pairs")
    found = [right(mean(pair["chosen_scores"]), mean(pair["rejected_scores"])) for pair in labelled]
    assert numbers["accuracy"] == pytest.approx(float(sum(found) / 6))
    assert {pair[side] for pair in labelled for side in ("chosen_first", "rejected_first")} <= {
        "first",
        "second",
        "none",
    }


def test_the_checkpoint_is_a_model_like_its_parent(run: RealRun) -> None:
    """A Hugging Face folder: safetensors, tokenizer, chat template; other weights than the parent's, all finite."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, parent = run.folder("checkpoints") / "1", run.folder("sft_checkpoint")
    assert list(folder.glob("*.safetensors")) and not list(folder.glob("*.bin"))
    assert (folder / "training_log.jsonl").is_file()
    margins = pl.read_parquet(folder / MARGINS)
    assert margins["pair_id"].to_list() == list(run.by_id("dpo_dataset"))
    assert margins["reward_margin"].is_finite().all()
    assert run.record("checkpoints")["model"]["fingerprint"] == fingerprint(folder)
    assert AutoTokenizer.from_pretrained(folder, local_files_only=True).chat_template == (
        AutoTokenizer.from_pretrained(parent, local_files_only=True).chat_template
    )
    old, new = (AutoModelForCausalLM.from_pretrained(f, local_files_only=True).state_dict() for f in (parent, folder))
    assert old.keys() == new.keys()
    assert all(new[name].dtype == torch.float32 and new[name].isfinite().all() for name in new)
    assert any(not torch.equal(old[name], new[name]) for name in new)


# ---------------------------------------------------------------------------------------------- again, and after a kill


def test_the_same_command_again_computes_nothing(run: RealRun) -> None:
    """What is complete is not computed again: no Dagster run, no file touched, and it says so."""
    before = snapshot(run)
    said = mr(run.data, *ONE_ITERATION, "--name", "t")
    assert "everything is complete; nothing was computed" in said
    assert snapshot(run) == before


def snapshot(run: RealRun) -> tuple[int, dict[str, int]]:
    """The number of Dagster runs, and the time at which each artifact was written."""
    with dg.DagsterInstance.from_config(str(run.data / ".dagster")) as history:
        runs = history.get_runs_count()
    files = (p for folder in (run.data / run.name, run.data / run.family) for p in folder.rglob("*") if p.is_file())
    return runs, {str(p): p.stat().st_mtime_ns for p in files if p.name not in ("recipe.yaml", ".lock")}


def test_killed_twice_it_ends_as_if_it_had_not_been(run: RealRun) -> None:
    """Killed while it samples and again while it trains, the same command goes on and ends in the same tables."""
    command = (*ONE_ITERATION, "--set", "evaluation=null", "--set", "dpo.save_steps=2", "--name", "killed")
    killed = RealRun(run.data, "killed")
    shards, workspace = killed.folder("judgments") / ".shards-1", killed.folder("checkpoints") / "1.training"
    with started(run.data, *command) as process:
        wait_for(lambda: len(list(shards.glob("*.parquet"))) >= 2, PATIENCE, process)
        process.kill()
        process.wait()
    assert not (killed.folder("judgments") / "1.json").exists()
    with started(run.data, *command) as process:
        wait_for((workspace / "checkpoints" / "resume").exists, PATIENCE, process)
        trainers = descendants(process)
        process.kill()
        process.wait()
        wait_for(lambda: not alive(trainers), 60)
    assert not (killed.folder("checkpoints") / "1").exists()
    resampled = killed.record("judgments")["numbers"]
    assert 0 < resampled["requests sampled by this run"] < resampled["requests"]
    mr(run.data, *command)
    for asset in KEYS:
        tables = [each.folder(asset) / "1.parquet" for each in (run, killed)]
        for files in (tables, [dropped_path(path) for path in tables]):
            if files[0].exists():
                assert_frame_equal(pl.read_parquet(files[0]), pl.read_parquet(files[1]))
    whole, resumed = training_log(run), training_log(killed)
    counted = [log.pop("num_tokens") for log in (whole, resumed)]
    assert resumed == whole
    assert counted[1][-1] < counted[0][-1], "the trainer counts the tokens since it was resumed"
    assert_frame_equal(*(pl.read_parquet(each.folder("checkpoints") / "1" / MARGINS) for each in (run, killed)))
    assert killed.record("checkpoints")["model"]["fingerprint"] == run.record("checkpoints")["model"]["fingerprint"]


def training_log(run: RealRun) -> dict[str, list[Any]]:
    """The columns of the trained checkpoint's log, without what depends on the clock."""
    log = pl.read_ndjson(run.folder("checkpoints") / "1" / "training_log.jsonl")
    return log.drop("seconds", "seconds_left").to_dict(as_series=False)
