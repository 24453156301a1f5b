"""What generates prompts: its example tasks, its limits and its model, looked at before anything is launched."""

import json
from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.files import fingerprint
from mr_assets.inputs.generator import check_generator, generator, generator_folder, limits, read_examples, rendering
from mr_assets.method.generated_prompts import Limits
from mr_assets.recipes.recipe import Recipe
from mr_assets.runs.artifact import Model
from mr_assets.templates import example_tasks
from mr_assets_tests.reward_model import SEED_MODEL
from mr_assets_tests.tiny import model_folder, tiny_recipe

TASKS = [f"Write {letter} three times." for letter in "bcdfgh"]
TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two."}]
MADE = (
    *("prompts.source=generated", "generation.examples=tasks.txt", "generation.shots=3", "generation.language=null"),
    "generation.max_tokens=8",
)


def made(*sets: str) -> Recipe:
    return tiny_recipe(*MADE, *sets)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with six tasks, one a line."""
    (tmp_path / "tasks.txt").write_text("\n".join(TASKS) + "\n")
    return tmp_path


def refused(data: Path, *sets: str) -> str:
    with pytest.raises(UserError) as error:
        check_generator(made(*sets), data)
    return str(error.value)


def test_examples_are_the_files_or_ours(data: Path) -> None:
    assert read_examples(made(), data) == TASKS
    assert read_examples(made("generation.examples=null"), data) == example_tasks()


def test_too_few_examples(data: Path) -> None:
    """As many as a request shows suffice."""
    assert read_examples(made("generation.shots=6"), data) == TASKS
    with pytest.raises(UserError) as error:
        read_examples(made("generation.shots=7"), data)
    assert str(error.value) == (
        "generation.examples = tasks.txt: it has 6 tasks, and each request shows generation.shots = 7. Add some, or "
        "lower generation.shots."
    )


def test_an_example_is_a_text_and_there_once(data: Path) -> None:
    """A conversation is named by its place; of what is repeated the first is."""
    rows = [{"prompt": "One."}, {"messages": TURNS}, {"prompt": "Three."}]
    (data / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"tasks\.jsonl: task 2 is a conversation, expected a text\. Take it out\."):
        read_examples(made("generation.examples=tasks.jsonl"), data)
    (data / "tasks.txt").write_text("One.\nTwo.\nOne.\n")
    with pytest.raises(UserError, match=r"^generation\.examples = tasks\.txt: of 3 prompts, 1 repeated \(first: row 3"):
        read_examples(made(), data)


def test_limits_are_the_recipes(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths in characters, a language or any, and how like another a prompt may be."""
    monkeypatch.setattr("mr_assets.inputs.generator.languages", lambda: ["de", "en"])
    sets = ("generation.min_chars=5", "generation.max_chars=90", "generation.similarity=0.5")
    assert limits(made(*sets, "generation.language=de").generation) == Limits((5, 90), "de", 0.5)
    assert limits(made(*sets).generation) == Limits((5, 90), None, 0.5)
    assert refused(data, "generation.language=fr") == (
        "generation.language = 'fr': expected a code such as en, de or zh, one of de, en. Set it to one of these, or "
        "to null for all."
    )


def test_the_seed_model_generates_unless_another_is_named(data: Path) -> None:
    """With the content that the settings name, or that of now; each by its own name and its own chat template."""
    folder, recipe = model_folder(data / "other"), made("model.date=2024-01-01")
    named = made("prompts.generator=other", "model.date=2024-01-01")
    assert generator_folder(recipe, data) == SEED_MODEL
    assert generator_folder(named, data) == folder
    assert generator(recipe, data, {"content of model.seed": "5eed"}) == Model(str(SEED_MODEL), "5eed", "seed")
    both = {"content of model.seed": "5eed", "content of prompts.generator": "f00d"}
    assert generator(named, data, both) == Model(str(folder), "f00d", "prompts.generator")
    assert generator(named, data, {}) == Model(str(folder), fingerprint(folder), "prompts.generator")
    assert (rendering(recipe), rendering(named)) == ({"date": "2024-01-01"}, {})


def test_what_is_there_passes(data: Path) -> None:
    """Of an endpoint there is no folder, and of a hub's model none yet; its examples have to be there all the same."""
    check_generator(made(), data)
    model_folder(data / "other")
    check_generator(made("prompts.generator=other"), data)
    endpoint = ("prompts.generator=http://127.0.0.1:1/v1", "generation.model=m")
    hub = ("prompts.generator=me/other", "model.allow_hub=true")
    for sets in (endpoint, hub):
        check_generator(made(*sets), data)
        assert "there is no file" in refused(data, *sets, "generation.examples=none.txt")
    assert refused(data, "prompts.generator=nowhere").startswith("prompts.generator: there is no folder")


def test_a_request_and_its_answer_fit_into_the_context(data: Path) -> None:
    """By the longest examples that a request can show, here one of 600 letters. A byte is a token of this model.

    "Task 1: " and the example are 608, the words of the template 346, and three tokens are the chat template's: 957.
    With 8 of the answer they take 965.
    """
    model_folder(data / "other")
    (data / "tasks.txt").write_text("\n".join([*TASKS[:3], "x" * 600, *TASKS[3:]]) + "\n")
    sets = ("prompts.generator=other", "generation.shots=1")
    check_generator(made(*sets, "engine.max_model_len=965"), data)
    assert refused(data, *sets, "engine.max_model_len=964") == (
        "generation: a request with its examples has up to 957 tokens; with generation.max_tokens = 8 that does not "
        "fit into engine.max_model_len = 964. Lower generation.max_tokens or generation.shots, name shorter "
        "generation.examples, or raise engine.max_model_len."
    )
