"""What judges are asked, word for word."""

import json
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from mr_assets.evaluation.judge_prompts import judge_messages, judge_prompts

SHARED = Path(__file__).parents[3] / "shared" / "benchmarks"


def test_what_is_judged_stands_as_it_is() -> None:
    """Braces in an answer are no places."""
    system, user = judge_messages("single-v1", question="{answer}?", answer="{}")
    assert system == {"role": "system", "content": "You are a helpful assistant."}
    assert "[Question]\n{answer}?\n" in user["content"]
    assert "[The Start of Assistant's Answer]\n{}\n" in user["content"]


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("arena-hard", "03f68010febd7a6405102ef882b4dd5a9700c56b2e1ff286d3b38f5d3a929bbf"),
        ("arena-hard-creative-writing", "171489efbca7f19fb520e1b3c23783c76af7c723e770fe897a55f391684aa358"),
    ],
)
def test_the_system_prompts_of_arena_hard_are_the_official_ones(name: str, digest: str) -> None:
    """By the SHA-256 of the texts in utils/judge_utils.py of lmarena/arena-hard-auto, of 2025."""
    assert sha256(judge_prompts()[name]["system"].encode()).hexdigest() == digest


@pytest.mark.skipif(not SHARED.is_dir(), reason="the official files are not here")
def test_the_others_are_those_of_the_official_files() -> None:
    for version in ("v0.1", "v2.0"):
        config = yaml.safe_load((SHARED / f"arena_hard_{version}_config.yaml").read_text(encoding="utf-8"))
        assert judge_prompts()["arena-hard"]["user"] == config["prompt_template"]
    lines = (SHARED / "mt_bench_judge_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    official = {row["name"]: row for row in map(json.loads, lines) if row["type"] == "single"}
    assert len(official) == 4
    for name, row in official.items():
        assert judge_prompts()[name] == {"system": row["system_prompt"], "user": row["prompt_template"]}
