"""Every problem of a recipe at once, each with field, value and reason; switches of earlier versions."""

import json
import re
from pathlib import Path

import pytest

from mr_assets.recipes import checks
from mr_assets.recipes.load import from_yaml, load_recipe
from mr_assets.recipes.recipe import Switches
from mr_assets_tests.recipes.conftest import DEFAULT, refused

DECISIONS = {
    "tier_ties": "draw",
    "equal_scores": "no_pair",
    "equal_score_judge_pairs": "keep",
    "reference": "previous_model",
    "end_token": "finished_only",
}


def test_switches_that_were_decisions_are_read_and_noted(tmp_path: Path) -> None:
    """A recipe of an earlier version, stored or a user's, is the same recipe without them; a user's says so."""
    now = load_recipe(DEFAULT)
    lines = "".join(f"  {name}: {value}\n" for name, value in DECISIONS.items())
    assert from_yaml(now.dump_yaml().replace("switches:\n", f"switches:\n{lines}")) == now
    assert not set(DECISIONS) & set(Switches.model_fields)
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {DEFAULT}\nswitches:\n{lines}", encoding="utf-8")
    mine = load_recipe(path)
    assert mine == now
    assert all(f"switches.{name}" in next(checks.warnings(mine)) for name in DECISIONS)
    assert load_recipe(DEFAULT, ["tier_ties=draw"]) == now


@pytest.mark.parametrize("name", DECISIONS)
def test_another_position_of_a_decision_is_refused(name: str) -> None:
    """The message names the one value, and the row where it is decided."""
    message = refused(f"switches.{name}=other", "dpo.beta=-1")
    assert f'switches.{name} = "other"' in message
    assert DECISIONS[name] in message
    assert re.search(r"docs/method.md, row \d+", message)
    assert "dpo.beta = -1" in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("iterations.1.rho=-0.1", ["iterations.1.rho = -0.1", "greater than or equal to 0"]),
        ("iterations.3.rho=1.5", ["iterations.3.rho = 1.5", "less than or equal to 1"]),
        ("dpo.beta=0", ["dpo.beta = 0", "greater than 0"]),
        ("dpo.beta=-1", ["dpo.beta = -1", "greater than 0"]),
        ("dpo.beta=.inf", ["dpo.beta = Infinity", "finite"]),
        ("dpo.beta=high", ['dpo.beta = "high"', "valid number"]),
        ("dpo.learning_rate=0", ["dpo.learning_rate = 0", "greater than 0"]),
        ("dpo.learning_rate=5", ["dpo.learning_rate = 5", "less than 1"]),
        ("responses.k=1", ["responses.k = 1", "greater than or equal to 2"]),
        ("responses.k=7.5", ["responses.k = 7.5", "valid integer"]),
        ("responses.k=true", ["responses.k = true", "valid integer"]),
        ("responses.top_p=0", ["responses.top_p = 0", "greater than 0"]),
        ("responses.top_p=1.01", ["responses.top_p = 1.01", "less than or equal to 1"]),
        ("responses.max_tokens=0", ["responses.max_tokens = 0", "greater than or equal to 1"]),
        ("judgments.n=0", ["judgments.n = 0", "greater than or equal to 1"]),
        ("judgments.temperature=-1", ["judgments.temperature = -1"]),
        ("judgments.temperature=2.5", ["judgments.temperature = 2.5", "less than or equal to 2"]),  # vLLM's own limit
        ("title=''", ['title = ""', "at least 1 character"]),
        ("iterations.1.prompts=0", ["iterations.1.prompts = 0", "greater than or equal to 1"]),
        ("iterations.1.judge_training=yes", ['iterations.1.judge_training = "yes"', "valid boolean"]),
        ("iterations.1.keep_epoch=0", ["iterations.1.keep_epoch = 0"]),
        ("iterations.2.max_chosen_chars=0", ["iterations.2.max_chosen_chars = 0"]),
        ("dpo.optimizer=sgd", ['dpo.optimizer = "sgd"', "'adamw_torch'"]),
        ("dpo.precision=bf8", ['dpo.precision = "bf8"', "'fp32'"]),
        ("dpo.warmup_ratio=1", ["dpo.warmup_ratio = 1", "less than 1"]),
        ("switches.omega_scope=prompt", ["switches.omega_scope", "'iteration' or 'response'"]),
        ("switches.cut_off=dropped", ["switches.cut_off", "'never_chosen' or 'eligible'"]),
        ("switches.elo_ridge=0", ["switches.elo_ridge = 0", "greater than 0", "finite"]),
        ("switches.judge_share_cap=1", ["switches.judge_share_cap = 1", "less than 1"]),
        ("world.name=numbers", ["world.name", "'letters'"]),
        ("world.judge_noise=2", ["world.judge_noise = 2"]),
        ("seed=-1", ["seed = -1"]),
        ("family=Small-World", ['family = "Small-World"', "pattern"]),
        ("engine.gpu_memory_utilization=1.5", ["engine.gpu_memory_utilization = 1.5"]),
        ("engine.shard_size=0", ["engine.shard_size = 0"]),
        ("dpo=null", ["dpo = null", "mapping of learning_rate"]),
        ("sft={warmup: 3}", ["sft.warmup = 3", "unknown key", "Did you mean warmup_ratio"]),
        ("iterations=none", ['iterations = "none"', "list of rows"]),
        ("iterations=[]", ["iterations = []", "at least one row"]),
        ("iterations=[{rho: 0.1}]", ["iterations.1.prompts: missing", "iterations.1.keep_epoch: missing"]),
        ("guardrails.min_count=0", ["guardrails.min_count = 0", "greater than or equal to 1"]),
        ("guardrails.score_bias={warn: high, stop: null}", ["guardrails.score_bias.warn", "valid number"]),
    ],
)
def test_refused(text: str, parts: list[str]) -> None:
    """Each problem names the field, the value and the reason."""
    message = refused(text)
    assert message.startswith(f"recipe {DEFAULT}: ")
    for part in parts:
        assert part in message


def test_all_problems_at_once() -> None:
    """Wrong fields do not hide contradictions elsewhere, nor are they reported twice."""
    message = refused(
        "iterations.1.rho=-1",
        "iterations.2.keep_epoch=9",
        "dpo.beta=0",
        "sft.batch_size=33",
        "dpo.optimizer=adam",
        "iterations.4.prompts=4000",
        "responses.max_tokens=9999",
    )
    assert "7 problems" in message
    assert re.findall(r"^  - (\S+)", message, re.MULTILINE) == [
        "dpo.optimizer",
        "dpo.beta",
        "iterations.1.rho",
        "iterations.2.keep_epoch",
        "sft.batch_size",
        "prompts.count",
        "responses.max_tokens",
    ]


@pytest.mark.parametrize("path", ["~no_such_user/p.txt", "\0.txt", "a" * 256])
@pytest.mark.parametrize("key", ["prompts.source", "model.seed", "judgments.template", "dpo.accelerate_config"])
def test_paths_that_no_file_can_have(key: str, path: str) -> None:
    assert f"{key} = " in refused(f"{key}={json.dumps(path)}")


@pytest.mark.parametrize("sets", [["quantization=fp9"], ["kv_cache_dtype=fp9"]])
def test_engine_types_are_checked(sets: list[str]) -> None:
    assert "fp9" in refused(*sets)
