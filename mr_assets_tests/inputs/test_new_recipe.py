"""What a model folder is, and the recipe that fits it: lengths in its context, micro-batches in a GPU's memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs.new_recipe import Inputs, Machine, ModelFacts, context_of, model_facts, recipe_text
from mr_assets.planning.data_sheets import known_gpu
from mr_assets.planning.fits import cpu_problems, gpu_problems
from mr_assets.planning.shapes import KNOWN, Shape
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe
from mr_assets_tests.tiny import model_folder

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 260,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 8192,
    "dtype": "bfloat16",
}
CPU = Machine(free=64e9)


def folder_of(tmp_path: Path, **config: Any) -> Path:
    """A model folder with a tokenizer of bytes: the judge prompt takes some 1,700 tokens."""
    folder = model_folder(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps(LLAMA | config))
    return folder


@pytest.fixture
def facts(tmp_path: Path) -> ModelFacts:
    return model_facts(folder_of(tmp_path))


def with_shape(facts: ModelFacts, shape: Shape) -> ModelFacts:
    """The same model, as large as another one."""
    return ModelFacts(**{**vars(facts), "shape": shape})


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe("llama_3_8b_meta_rewarding")


def test_what_a_folder_is(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, tie_word_embeddings=True, dtype="float32")
    (folder / "LICENSE.txt").write_text("Apache")
    found = model_facts(folder)
    assert (found.context, found.dtype, found.licence) == (8192, "float32", "LICENSE.txt")
    assert (found.end, found.ends_text, found.kwargs) == ("<|end|>", True, {})
    assert found.shape is not None and found.shape.tied and found.meta_judge > found.judge > 1000


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Weights that may run code, and no chat template."""
    folder = folder_of(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(
        UserError, match=r"(?s)cannot be used. Nothing was written.*pytorch_model.bin.*no chat template"
    ):
        model_facts(folder)


def test_a_template_that_thinks_is_told_not_to(tmp_path: Path) -> None:
    """As Qwen3's: what it says before </think> is taken out of a conversation, unless thinking is off."""
    folder = folder_of(tmp_path)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}<|{{ m.role }}|>"
        "{% if m.role == 'assistant' %}{% if enable_thinking is false %}<think></think>{% endif %}"
        "{{ m.content.split('</think>')[-1].lstrip() }}{% else %}{{ m.content }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>"
        "{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}"
    )
    assert model_facts(folder).kwargs == {"enable_thinking": False}


def test_lengths_are_the_base_recipes_where_they_fit(facts: ModelFacts, base: Recipe) -> None:
    found = context_of(facts, 256, base)
    assert (found.context, found.responses, found.judgments, found.meta_judgments) == (8192, 2048, 512, 1024)


def test_a_short_context_is_shared_out(tmp_path: Path, base: Recipe) -> None:
    """In the base's proportions: a response is four judgments long, and all of it fits with both prompts."""
    facts = model_facts(folder_of(tmp_path, max_position_embeddings=4096))
    found = context_of(facts, 256, base)
    assert found.context == 4096 and found.responses == pytest.approx(4 * found.judgments, abs=4)
    assert facts.judge + 256 + found.responses + found.judgments <= 4096
    most = facts.meta_judge + 256 + found.responses + 2 * found.judgments + found.meta_judgments
    assert 4090 <= most <= 4096


def test_a_context_that_holds_no_judge_prompt_is_refused(tmp_path: Path, base: Recipe) -> None:
    facts = model_facts(folder_of(tmp_path, max_position_embeddings=512))
    with pytest.raises(UserError, match=r"context of 512 tokens is too short. The judge prompt takes 1,\d+"):
        context_of(facts, 256, base)


@pytest.mark.parametrize(
    ("gpu", "count", "shape", "expected"),
    [
        ("h200", 1, "8b", {"dpo": (1, 2, None), "engine": 1}),  # as the base recipe, which is for this one
        ("h100", 8, "8b", {"dpo": (8, 2, "fsdp"), "engine": 8}),
        ("4090", 3, "0.5b", {"dpo": (2, 2, None), "engine": 3}),  # three processes have no equal shares of 32 pairs
        ("a100-40", 1, "1.5b", {"dpo": (1, 2, None), "engine": 1}),
        ("4090", 1, "1.5b", {"dpo": (1, 2, None), "engine": 1}),
    ],
)
def test_what_is_written_fits_the_gpus(
    tmp_path: Path, facts: ModelFacts, gpu: str, count: int, shape: str, expected: dict[str, Any]
) -> None:
    """By the arithmetic of mr plan; LoRA only where all weights would not fit, and that is said."""
    chosen, large = known_gpu(gpu), with_shape(facts, KNOWN[shape])
    text, recipe = recipe_text("mine", large, Inputs(eft="/e.jsonl"), Machine(chosen, count), tmp_path)
    assert list(gpu_problems(recipe, KNOWN[shape], tmp_path, chosen.memory, count)) == []
    dpo = recipe.dpo
    assert (dpo.num_processes, dpo.micro_batch_size, dpo.accelerate_config) == expected["dpo"]
    assert recipe.engine.replicas == expected["engine"]
    assert dpo.lora_r == (16 if (gpu, shape) == ("4090", "1.5b") else None)
    assert (dpo.lora_r is None) == ("paper: null, all weights are trained" not in text)


def test_what_fits_nowhere_is_refused(tmp_path: Path, facts: ModelFacts) -> None:
    with pytest.raises(UserError, match=r"(?s)does not fit on 1 x NVIDIA GeForce RTX 4090. Nothing was written.*dpo"):
        recipe_text("mine", with_shape(facts, KNOWN["8b"]), Inputs(), Machine(known_gpu("4090")), tmp_path)


def test_a_cpu_that_is_short_of_memory(tmp_path: Path, facts: ModelFacts) -> None:
    """Half a billion weights in fp32 take 8 GB with gradients and optimizer: micro-batches of one, recomputed."""
    large = with_shape(facts, KNOWN["0.5b"])
    text, recipe = recipe_text("mine", large, Inputs(), Machine(free=14e9), tmp_path)
    assert list(cpu_problems(recipe, KNOWN["0.5b"], tmp_path, 14e9)) == []
    assert recipe.dpo.micro_batch_size == 1 and "ours: so that it fits (mr plan)" in text


def test_what_a_person_brings(tmp_path: Path, facts: ModelFacts) -> None:
    """Of 41 prompts each of four iterations gets ten; of nothing, the model makes the prompts, and there is no SFT."""
    gpu = Machine(known_gpu("h200"))
    _, brought = recipe_text("mine", facts, Inputs("/p.jsonl", prompts=41, eft="/e.jsonl"), gpu, tmp_path)
    assert [row.prompts for row in brought.iterations] == [10] * 4 and brought.eft.source == "/e.jsonl"
    assert brought.sft is not None and brought.prompts.source == "/p.jsonl"
    _, nothing = recipe_text("mine", facts, Inputs(), CPU, tmp_path)
    assert (nothing.prompts.source, nothing.prompts.count, nothing.sft) == ("generated", 200, None)
    with pytest.raises(UserError, match=r"3 in /p.jsonl, and 4 iterations need one each"):
        recipe_text("mine", facts, Inputs("/p.jsonl", prompts=3), gpu, tmp_path)


def test_ranks_teach_a_small_model_the_form(tmp_path: Path, facts: ModelFacts) -> None:
    """Of Open Assistant's rankings; a larger model judges them itself, as in the paper."""
    inputs, h200 = Inputs("/p.jsonl", prompts=40, eft="open_assistant:/oasst.jsonl"), Machine(known_gpu("h200"))
    _, small = recipe_text("mine", facts, inputs, h200, tmp_path)
    assert (small.eft.judged_by, small.eft.meta_judgment_share, small.eft.instruction_share) == ("ranks", 0.25, 0.25)
    _, large = recipe_text("mine", with_shape(facts, KNOWN["8b"]), inputs, h200, tmp_path)
    assert large.eft.judged_by == "seed_model" and large.sft is not None
    assert small.sft is not None and small.sft.learning_rate > large.sft.learning_rate == 5e-8


def test_any_name_of_a_folder_is_written(tmp_path: Path) -> None:
    """Quotes, colons and line ends are no YAML in it."""
    folder = folder_of(tmp_path).rename(tmp_path / 'a: "b"\n# {c}')
    _, recipe = recipe_text("mine", model_facts(folder), Inputs(), CPU, tmp_path)
    assert recipe.model.seed == str(folder) and recipe.title.startswith("Meta-Rewarding, a: ")
