"""What the judges of public benchmarks are asked, word for word (`judge_prompts.yaml`), as the messages of a chat.

judge_messages("single-v1", question="Who wrote Hamlet?", answer="Shakespeare.")
[{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "[Instruction]\\n..."}]
"""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Messages = list[dict[str, str]]


@cache
def judge_prompts() -> dict[str, dict[str, str]]:
    """Each prompt by its name, with the texts `system` and `user`; the latter has {places} for what is judged."""
    with (files("mr_assets.evaluation") / "judge_prompts.yaml").open(encoding="utf-8") as file:
        prompts: dict[str, dict[str, str]] = yaml.safe_load(file)
    return prompts


def judge_messages(name: str, **judged: Any) -> Messages:
    """The messages of a prompt with what is judged in its places; braces in that are characters."""
    prompt = judge_prompts()[name]
    return [
        {"role": "system", "content": prompt["system"]},
        {"role": "user", "content": prompt["user"].format(**judged)},
    ]
