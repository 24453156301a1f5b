"""What must hold between the fields of a recipe, and what is only worth a warning."""

from collections.abc import Iterator
from typing import Any

import pytest

from mr_assets.recipes import checks
from mr_assets.recipes.load import list_recipes, load_recipe
from mr_assets_tests.recipes.conftest import DEFAULT, refused


def test_a_check_that_asks_for_a_field_that_is_not_there_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt field must not switch a check off in silence; only of a partial recipe fields may be missing."""

    def misspelt(recipe: Any) -> Iterator[str]:
        yield f"beta = {recipe.dpo.betta}"

    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS, misspelt))
    with pytest.raises(AttributeError, match="betta"):
        load_recipe(DEFAULT)
    assert refused("dpo.learning_rate=-1").count("\n  - ") == 1


def test_every_check_asks_for_fields_that_there_are() -> None:
    """Of the shipped recipes no check stops at a field; a partial one stops at nothing but what is not given."""
    for name in list_recipes():
        recipe = load_recipe(name)
        for check in checks.CHECKS:
            assert list(check(recipe)) == []
            with pytest.raises(checks.NotGiven):
                list(check(checks.partial({}, [])))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("iterations.2.keep_epoch=4", ["iterations.2.keep_epoch = 4", "dpo.schedule_epochs = 3"]),
        ("sft.keep_epoch=2", ["sft.keep_epoch = 2", "sft.schedule_epochs = 1"]),
        ("dpo.micro_batch_size=5", ["dpo.batch_size = 32", "micro_batch_size x num_processes = 5 x 1"]),
        ("sft.num_processes=3", ["sft.batch_size = 32", "micro_batch_size x num_processes = 32 x 3"]),
        ("judgments.n=1", ["judgments.n = 1", "judge training"]),
        ("judgments.temperature=0", ["judgments.temperature = 0", "judge pairs"]),
        ("responses.temperature=0", ["responses.temperature = 0", "no pairs"]),
        ("prompts.count=479", ["prompts.count = 479", "120 + 120 + 120 + 120 = 480", "prompts.disjoint"]),
        ("prompts.count=null", ["prompts.count = null", "give a number"]),
        ("prompts.count=1000001", ["prompts.count = 1000001", "at most 1,000,000"]),
        ("evaluation.prompts=10001", ["evaluation.prompts = 10001", "at most 10,000"]),
        ("human_agreement.prompts=null", ["human_agreement.prompts = null", "give a number"]),
        ("human_agreement.prompts=10001", ["human_agreement.prompts = 10001", "at most 10,000"]),
        ("labelled_pairs={source: world}", ["labelled_pairs.pairs = null", "give a number"]),
        ("labelled_pairs={source: world, pairs: 10001}", ["labelled_pairs.pairs = 10001", "at most 10,000"]),
        ("eft.examples=null", ["eft.examples = null", "give a number"]),
        ("responses.max_tokens=512", ["responses.max_tokens = 512", "engine.max_model_len = 512"]),
        ("meta_judgments.max_tokens=600", ["meta_judgments.max_tokens = 600", "engine.max_model_len = 512"]),
        (
            "guardrails.top_score_share={warn: 0.9, stop: 0.5}",
            ["guardrails.top_score_share.stop = 0.5: is below warn = 0.9", "should be worse"],
        ),
        (
            "guardrails.score_entropy_at_least={warn: 0.5, stop: 1.0}",
            ["guardrails.score_entropy_at_least.stop = 1.0: is above warn = 0.5"],
        ),
        ("engine={replicas: 2, own_process: false}", ["engine.own_process = false: 2 replicas", "set it to null"]),
        ("held_out={source: world}", ["held_out.prompts = null", "give a number"]),
        ("held_out={source: world, prompts: 10001}", ["held_out.prompts = 10001", "at most 10,000"]),
        ("held_out={source: rankings}", ['held_out.source = "rankings"', "eft.source is not open_assistant:FILE"]),
        ("probe={}", ["probe: it judges", "describe them in held_out"]),
        ("world=null", ["world is null", 'prompts.source = "world"', 'eft.source = "world"', "evaluation:"]),
    ],
)
def test_refused(text: str, parts: list[str]) -> None:
    """Each problem names the field, the value and the reason."""
    message = refused(text)
    assert message.startswith(f"recipe {DEFAULT}: ")
    for part in parts:
        assert part in message


def test_disjoint_is_what_adds_prompts_up() -> None:
    """120 prompts serve four iterations of 120 if they may repeat."""
    assert load_recipe(DEFAULT, ["prompts.count=120", "prompts.disjoint=false"]).prompts.count == 120
    assert "need 121" in refused("prompts.count=120", "prompts.disjoint=false", "iterations.2.prompts=121")


def test_a_file_of_prompts_is_counted_when_it_is_read() -> None:
    """The paper's recipes take all prompts of a file, whose number is not known before the run."""
    assert load_recipe("llama_3_8b_meta_rewarding", ["iterations.all.prompts=9999999"]).prompts.count is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("iterations.3.rho=0.5", "iterations.3.rho = 0.5: from 0.5 on the tiers overlap"),
        ("iterations.3.max_chosen_judgment_chars=900", "iterations.3.max_chosen_judgment_chars has no effect"),
        ("responses.max_tokens=450", "the longest response and its judgment alone take 514 tokens"),  # 450 + 64
    ],
)
def test_warnings(text: str, part: str) -> None:
    """What is allowed and yet worth knowing is said, not refused (rho)."""
    (warning,) = checks.warnings(load_recipe(DEFAULT, [text]))
    assert part in warning


def test_temperature_0_with_several_judgments() -> None:
    """They would all be equal; one is fine where no judge is trained."""
    greedy = ["judgments.temperature=0", "iterations.all.judge_training=false"]
    greedy += ["iterations.all.max_chosen_judgment_chars=null"]
    assert "would all be the same" in refused(*greedy)
    assert load_recipe(DEFAULT, [*greedy, "judgments.n=1", "evaluation.samples=1"]).judgments.n == 1
    assert "evaluation.samples = 3" in refused(*greedy, "judgments.n=1", "evaluation.samples=3")
    assert "held_out.per_prompt = 2" in refused("held_out={source: p.txt, per_prompt: 2}", "responses.temperature=0")
    for section in ("human_agreement={prompts: 5, n: 3}", "labelled_pairs={source: p.jsonl, n: 3}"):
        assert f"{section.partition('=')[0]}.n = 3: judgments.temperature is 0" in refused(
            *greedy, "judgments.n=1", "evaluation.samples=1", section
        )
    assert "held_out.per_prompt = 1" in refused("held_out={source: p.txt}", "probe={}")
    for almost in ("temperature=1e-6", "top_p=1e-7"):
        assert "would all be the same" in refused(f"responses.{almost}")


def test_a_judge_is_held_against_ranks_or_a_truth_that_is_there() -> None:
    """The paper's recipe has neither until its EFT data comes of rankings, of which some are held out."""
    real, section = "llama_3_8b_meta_rewarding", "human_agreement={}"
    assert "human_agreement: it needs people's ranks, or a world's truth; set eft.source" in refused(section, name=real)
    ranked = [section, "eft.source=open_assistant:trees.jsonl"]
    assert load_recipe(real, ranked).human_agreement is not None
    assert "human_agreement: it measures on the replies that are held out" in refused(
        *ranked, "eft.held_out=0.0", name=real
    )
    assert load_recipe(real, [*ranked, "sft=null"]).human_agreement is not None  # the ranks are read all the same
    assert 'labelled_pairs.source = "world": world is null' in refused("labelled_pairs={source: world}", name=real)
    assert load_recipe(real, ["labelled_pairs={source: p.jsonl}"]).labelled_pairs is not None


def test_a_recipe_without_sft_needs_no_eft_data() -> None:
    """The section may be left out, or be the base's; a recipe with SFT needs a source. What that means is told."""
    real = "llama_3_8b_meta_rewarding"
    assert "eft.source = null: sft trains on it" in refused("eft={source: null}", name=real)
    assert load_recipe(real, ["sft=null", "eft={source: null}"]).eft.source is None
    assert load_recipe(real, ["sft=null", "eft.source=world"]).world is None  # nothing reads it
    assert 'eft.source = "world": world is null' in refused("eft.source=world", name=real)
    bounds = "guardrails.judgment_parse_rate_at_least={warn: 0.9, stop: 0.5}"
    [said] = checks.warnings(load_recipe(real, ["sft=null", bounds]))
    assert "M0 is the seed model" in said and "warn below 90%, stop below 50%" in said
