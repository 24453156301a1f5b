"""What a run on the real model is made of: questions and human rankings, where a developer has put them.

    shared/open_assistant/en_70_tree.jsonl        message trees of Open Assistant with people's ranks (Apache-2.0)
    shared/prompts/self_instruct_seed_tasks.jsonl the seed tasks of Self-Instruct (Apache-2.0)

They lie beside the project, as they are no part of it; the model is what `make real-model` writes.
"""

import json
from pathlib import Path

from mr_assets_tests.real_run import PROJECT
from mr_assets_tests.smollm2 import FOLDER

SHARED = PROJECT.parent / "shared"
RANKINGS = SHARED / "open_assistant" / "en_70_tree.jsonl"
TASKS = SHARED / "prompts" / "self_instruct_seed_tasks.jsonl"
RECIPE = "smollm2_135m"
LONGEST = 300  # characters of a question: short ones keep a run on two cores short


def missing() -> str | None:
    """What is not there, so that no run can be made; None if all is."""
    if not FOLDER.is_dir():
        return "make real-model writes the model"
    gone = [str(path) for path in (RANKINGS, TASKS) if not path.is_file()]
    return f"{gone[0]} is not there" if gone else None


def write_questions(path: Path, count: int) -> Path:
    """The first `count` questions that people wrote for Self-Instruct which stand alone, a JSON object a line."""
    tasks = map(json.loads, TASKS.read_text(encoding="utf-8").splitlines())
    found = [task["instruction"] for task in tasks if not any(each["input"] for each in task["instances"])]
    short = [text for text in dict.fromkeys(found) if len(text) <= LONGEST]
    if len(short) < count:
        raise ValueError(f"{TASKS} has {len(short)} questions that stand alone; {count} are wanted")
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in short[:count]), encoding="utf-8")
    return path


def inputs(questions: Path) -> tuple[str, ...]:
    """The model, the questions and the rankings, as fields of the recipe."""
    return (f"model.seed={FOLDER}", f"prompts.source={questions}", f"eft.source=open_assistant:{RANKINGS}")
