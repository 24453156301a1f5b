"""What is checked before anything is launched; `mr run` shows the same messages (see test_cli.py)."""

import importlib.util
import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.inputs import preflight
from mr_assets.inputs.preflight import LEAST_FREE_MIB, check_run
from mr_assets.recipes.load import from_yaml, load_recipe
from mr_assets.runs.data_folder import PROJECT
from mr_assets.runs.run import Run
from mr_assets.templates import judge_template
from mr_assets.training.accelerate_config import SHIPPED
from mr_assets_tests.planning.test_shapes import LLAMA
from mr_assets_tests.tiny import complete, files, model_folder, tiny_run

Check = Callable[..., str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def refused(data: Path) -> Check:
    """The message with which a changed tiny run is refused, with nothing written."""

    def check(*sets: str) -> str:
        before = files(data)
        with pytest.raises(UserError) as error:
            check_run(tiny_run(data, *sets))
        assert files(data) == before
        return str(error.value)

    return check


def test_the_shipped_world_passes(data: Path) -> None:
    """The data folder is made; nothing is put in it."""
    check_run(tiny_run(data))
    assert data.is_dir()
    assert files(data) == {}


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Its parent is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data folder .* cannot be made: .*Set MR_DATA"):
        check_run(tiny_run(tmp_path / "file" / "data"))


def test_a_data_folder_that_cannot_be_written(refused: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mr_assets.inputs.preflight.os.access", lambda path, mode: False)
    assert "cannot be written. Set MR_DATA to a writable folder." in refused()


def test_too_little_space(refused: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least 200 MiB; the message has what is free and what is needed."""
    free = SimpleNamespace(free=(LEAST_FREE_MIB - 1) * 2**20)
    monkeypatch.setattr("mr_assets.inputs.preflight.shutil.disk_usage", lambda path: free)
    assert "only 199 MiB are free" in (message := refused())
    assert "needs 200" in message


def test_vllm_must_be_installed(refused: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else found(name))
    assert "vLLM is not installed" in refused()


def test_templates_are_read(refused: Check, data: Path) -> None:
    data.mkdir()
    (data / "judge.txt").write_text("Rate {response}.")
    assert "cannot be read" in refused("judgments.template=nowhere.txt")
    assert "expected the placeholders {prompt}, {response}, found {response}" in refused("judgments.template=judge.txt")
    assert "expected the placeholders" in refused("meta_judgments.template=judge.txt")


# ------------------------------------------------------------------------------------------------------- the model


def test_a_missing_model_folder(refused: Check) -> None:
    """Nothing is downloaded unless the recipe allows it, and the message says how."""
    message = refused("model.seed=meta-llama/Meta-Llama-3-8B-Instruct")
    assert "there is no folder" in message
    assert "set model.allow_hub to true" in message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "chat_template.jinja").unlink(), "no chat template"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "found only pytorch_model.bin"),
        (lambda f: (f / "config.json").write_bytes(b"\xff"), "config.json cannot be read as JSON"),
        (lambda f: (f / "config.json").unlink(), "config.json cannot be read as JSON"),
        (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 40), "is not a safetensors file"),
        (lambda f: shutil.rmtree(f), "there is no folder"),
    ],
    ids=[
        "no chat template",
        "pickled weights",
        "unreadable",
        "no configuration",
        "no tokenizer",
        "broken weights",
        "gone",
    ],
)
def test_a_model_folder_that_cannot_be_used(
    refused: Check, data: Path, spoil: Callable[[Path], object], message: str
) -> None:
    """The folder is named, and nothing was started on it."""
    folder = model_folder(data / "models" / "mine")
    check_run(tiny_run(data, "model.seed=models/mine"))
    spoil(folder)
    said = refused("model.seed=models/mine")
    assert message in said
    assert str(folder) in said


TURN = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{}", "has no readable tokenizer"),
        ("tokenizer_config.json", '{"tokenizer_class": 5}', "has no readable tokenizer"),
        ("config.json", '{"model_type": "unheard_of"}', "describes no model that transformers"),
        ("config.json", '{"model_type": 5}', "describes no model that transformers"),
        ("config.json", '{"model_type": "llama", "vocab_size": 256}', "the model has 256 tokens"),
        (
            "chat_template.jinja",
            "{{ raise_exception('A system message is required') }}",
            "A system message is required",
        ),
        ("chat_template.jinja", TURN, "what is sampled is not what a conversation says"),
        (
            "chat_template.jinja",
            TURN + "{% if add_generation_prompt %}<|assistant|><think>{% endif %}",
            "enable_thinking",
        ),
        ("chat_template.jinja", "{% for i in range(99999) %}{{ 'x' * 99999 }}{% endfor %}", "of memory"),
    ],
)
def test_a_model_that_cannot_be_asked(refused: Check, data: Path, name: str, content: str, message: str) -> None:
    """What is in the folder is loaded and tried before anything is launched."""
    folder = model_folder(data / "models" / "mine")
    (folder / name).write_text(content)
    said = refused("model.seed=models/mine")
    assert message in said
    assert str(folder) in said


def test_a_configuration_is_known_again_by_its_content(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then transformers, which brings torch, need not be asked; of another content it is."""
    asked: list[str] = []
    monkeypatch.setattr(preflight, "KNOWN_CONFIGURATIONS", tmp_path / "known")
    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", lambda folder, **_: asked.append(folder))
    folder = model_folder(data / "models" / "mine")
    for _ in range(2):
        check_run(tiny_run(data, "model.seed=models/mine"))
        assert asked == [str(folder)]
    (folder / "config.json").write_text('{"model_type": "llama", "vocab_size": 261}')
    check_run(tiny_run(data, "model.seed=models/mine"))
    assert asked == [str(folder)] * 2


def test_a_variable_for_the_chat_template(refused: Check, data: Path) -> None:
    """One that the template reads is taken, any other is refused."""
    folder = model_folder(data / "models" / "mine")
    template = folder / "chat_template.jinja"
    thinks = "{% if add_generation_prompt and think | default(true) %}<think>{% endif %}"
    template.write_text(template.read_text() + thinks)
    assert "models that reason before they answer" in refused("model.seed=models/mine")
    check_run(tiny_run(data, "model.seed=models/mine", "model.chat_template_kwargs.think=false"))
    said = refused("model.seed=models/mine", "model.chat_template_kwargs={think: false, thnk: 1}")
    assert "model.chat_template_kwargs has thnk, which the chat template" in said


def test_a_model_that_was_trained_on_is_not_tried_again(data: Path) -> None:
    folder = model_folder(data / "models" / "mine")
    run = tiny_run(data, "model.seed=models/mine", "sft=null")
    (folder / "chat_template.jinja").write_text(TURN)
    with pytest.raises(UserError, match="conversation"):
        check_run(run)
    complete(run, "eft_dataset")
    complete(run, "sft_checkpoint")
    check_run(run)


def test_a_hub_model_is_not_fetched_before_it_is_needed(data: Path) -> None:
    check_run(tiny_run(data, "model.seed=someone/a-model", "model.allow_hub=true"))


# ----------------------------------------------------------------------------------------------------- user's files


@pytest.mark.parametrize(
    ("text", "sets", "message"),
    [
        (None, (), "prompts file mine.txt: there is no file"),
        ("", (), "expected at least one prompt, found none"),
        ("a\n\nb\n", (), "1 empty or blank (first: row 2: '')"),
        ("a\nb\na\n", (), "1 repeated (first: row 3: 'a')"),
        ("a\nb\nc\n", (), "2 disjoint iterations need 5 + 5 = 10, but there are 3 seed prompts"),
        ("a\nb\nc\n", ("prompts.disjoint=false",), "need 5, but there are 3 seed prompts"),
        ("a\nb\nc\n", ("prompts.count=24",), "prompts.count = 24: mine.txt has 3 prompts"),
        ("a\nb\n", ("prompts.column=question",), "expected a column 'question', found prompt"),
    ],
)
def test_prompts_are_checked(refused: Check, data: Path, text: str | None, sets: tuple[str, ...], message: str) -> None:
    """Before a model is trained or an engine started."""
    data.mkdir()
    if text is not None:
        (data / "mine.txt").write_text(text)
    assert message in refused("prompts.source=mine.txt", "prompts.count=null", *sets)


def test_turns_that_the_chat_template_refuses(refused: Check, data: Path) -> None:
    """The first row with such a sequence of roles is named, and what the template says; nothing is sampled."""
    shutil.copytree(PROJECT / "data" / "seeds" / "small-world", data / "model")
    template = data / "model" / "chat_template.jinja"
    refuse = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}{% endif %}"
    template.write_text(refuse + template.read_text())
    user = {"role": "user", "content": "Hi"}
    rows = [{"prompt": f"p{n}"} for n in range(10)] + [{"messages": [{"role": "system", "content": "Be brief."}, user]}]
    (data / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = refused("model.seed=model", "prompts.source=mine.jsonl", "prompts.count=null")
    assert "prompts file mine.jsonl, line 11: a conversation of system, user: the chat template of" in said
    assert "No system role" in said


def own_files(data: Path) -> Run:
    return tiny_run(data, "prompts.source=mine.txt", "prompts.count=null", "eft.source=mine.jsonl")


def test_enough_prompts_and_examples_pass(data: Path) -> None:
    data.mkdir()
    (data / "mine.txt").write_text("".join(f"prompt {n}\n" for n in range(10)))
    (data / "mine.jsonl").write_text('{"prompt": "Rate it.", "completion": "Score: 4"}\n')
    check_run(own_files(data))


def test_files_that_were_taken_in_may_go(data: Path) -> None:
    """What was read into seed_prompts and eft_dataset is not needed any more."""
    run = own_files(data)
    complete(run, "seed_prompts")
    complete(run, "eft_dataset")
    check_run(run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "EFT file mine.jsonl: there is no file"),
        ("{", "cannot be read as .jsonl"),
        ('{"question": "a"}\n', "expected columns prompt and completion, or messages; found question"),
        ('{"prompt": "a", "completion": ""}\n', "row 1: expected one user message and one non-empty assistant message"),
    ],
)
def test_evaluation_data_is_checked(refused: Check, data: Path, text: str | None, message: str) -> None:
    data.mkdir()
    if text is not None:
        (data / "mine.jsonl").write_text(text)
    assert message in refused("eft.source=mine.jsonl")


def test_evaluation_data_is_not_asked_for_without_sft(data: Path) -> None:
    check_run(tiny_run(data, "eft.source=mine.jsonl", "sft=null"))


def test_prompts_in_a_chat_template_are_noted(data: Path) -> None:
    """How many spell control tokens of the model, and the first line; bare texts give no note."""
    data.mkdir()
    bare = [json.dumps({"prompt": f"prompt {n}"}) for n in range(10)]
    rendered = ["<|begin|><|user|>Hi.<|end|><|assistant|>", "Hi<|end|>"]
    (data / "mine.jsonl").write_text("\n\n".join([*bare, *(json.dumps({"prompt": text}) for text in rendered)]))
    run = tiny_run(data, "prompts.source=mine.jsonl", "prompts.count=null")
    (note,) = check_run(run)
    assert "prompts file mine.jsonl: 2 prompts contain control tokens of the model, first line 21" in note
    assert "(<|begin|>, <|user|>, <|end|>)" in note
    (data / "mine.jsonl").write_text("\n".join(bare))
    assert check_run(run) == []


def test_examples_in_a_chat_template_and_without_a_score_are_noted(data: Path) -> None:
    data.mkdir()
    rows = [
        (judge_template().fill({"prompt": "Hi", "response": "Ho"}), "Score: 4"),
        ("Rate it.", "Good."),
        ("Rate that.", "Score: 4<|end|>"),
    ]
    (data / "mine.jsonl").write_text("\n".join(json.dumps({"prompt": p, "completion": c}) for p, c in rows))
    unscored, rendered = check_run(tiny_run(data, "eft.source=mine.jsonl"))
    assert "1 of 3 judgments (33%) give no score" in unscored and "first line 2 (no_score)" in unscored
    assert "EFT file mine.jsonl: 1 examples contain control tokens" in rendered
    assert "first line 3 (<|end|>)" in rendered


# ----------------------------------------------------------------------------------------- trainer, engine, templates

GOOD = "distributed_type: FSDP\nfsdp_config: {fsdp_version: 2}\nnum_processes: 2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("distributed_type: [FSDP\n", "Mend the YAML"),
        ("- FSDP\n", "expected a mapping"),
        ("a: &a [*a]\n", "contains itself"),
        ("num_processes: 2\n", "distributed_type"),
        ("distributed_type: SPREAD\n", "SPREAD"),
        (GOOD + "fsdp_confg: {}\n", "fsdp_confg"),
        (GOOD.replace("2\n", "many\n"), 'num_processes is "many", expected a whole number'),
        (GOOD.replace("{fsdp_version: 2}", "full"), 'fsdp_config is "full", expected a mapping'),
        (GOOD + "main_process_port: any\n", 'main_process_port is "any", expected a whole number'),
        (b"\xff", "not UTF-8"),
    ],
)
def test_accelerates_configuration_is_read(refused: Check, data: Path, text: Any, message: str) -> None:
    """As accelerate reads it; the message names the field and the file."""
    data.mkdir()
    if text is not None:
        (data / "a.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = refused("dpo.accelerate_config=a.yaml")
    assert message in said and "dpo.accelerate_config" in said and str(data / "a.yaml") in said


TWO = ("dpo.num_processes=2", "dpo.micro_batch_size=16", "dpo.optimizer=adamw_torch")


def test_a_good_configuration_of_accelerate_passes(data: Path) -> None:
    """The one that ships, by its name, and a file of one's own."""
    check_run(tiny_run(data, "dpo.accelerate_config=fsdp", *TWO))
    (data / "a.yaml").write_text(SHIPPED["fsdp"].read_text())
    check_run(tiny_run(data, "dpo.accelerate_config=a.yaml", *TWO))


LORA = ("dpo.lora_r=4", "model.seed=mine")


@pytest.mark.parametrize(
    ("named", "unknown"),
    [
        ("all-linear", None),
        ("q_proj, self_attn.v_proj", None),
        ("q_proj,nope_proj", "nope_proj"),
        ("proj", "proj"),
        ("norm", "norm"),
    ],
)
def test_each_module_that_gets_an_adapter_is_one_of_the_models(data: Path, named: str, unknown: str | None) -> None:
    """Not a part of a name, and no norm, whose weights are no matrix. Where the model is not here, nobody knows."""
    shapes = {"q_proj": [4, 4], "v_proj": [2, 4]}
    tensors = {f"model.layers.0.self_attn.{name}.weight": shape for name, shape in shapes.items()}
    with_weights(model_folder(data / "mine"), tensors | {"model.norm.weight": [4]})
    run = tiny_run(data, *LORA, f"dpo.lora_target_modules='{named}'")
    if unknown is None:
        check_run(run)
        return
    with pytest.raises(UserError) as error:
        check_run(run)
    assert str(error.value).startswith(
        f'dpo.lora_target_modules names "{unknown}", of which the model in {data / "mine"} has no weights. '
        "It has q_proj, v_proj: name some of them, or all-linear."
    )


def with_weights(folder: Path, shapes: dict[str, list[int]]) -> None:
    """Put tensors of bytes into a model's folder."""
    header, end = {}, 0
    for name, shape in shapes.items():
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [end, end + math.prod(shape)]}
        end += math.prod(shape)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def test_a_configuration_that_would_train_something_wrong_is_refused(refused: Check, data: Path) -> None:
    """All that is wrong at once."""
    data.mkdir()
    (data / "a.yaml").write_text(GOOD)
    said = refused("dpo.accelerate_config=a.yaml", *TWO[:2], "dpo.optimizer=adamw_8bit")
    assert "fsdp_state_dict_type is missing" in said
    assert "fsdp_cpu_ram_efficient_loading is missing" in said
    assert "optimizer is adamw_8bit" in said


@pytest.mark.parametrize("section", ["sft", "dpo"])
def test_8_bit_adam_needs_bitsandbytes(refused: Check, monkeypatch: pytest.MonkeyPatch, section: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    assert f"{section}.optimizer = adamw_8bit: it needs bitsandbytes" in refused(f"{section}.optimizer=adamw_8bit")


def test_a_pilot_needs_nothing_to_train_with(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name))
    run = tiny_run(data, "dpo.optimizer=adamw_8bit")
    check_run(run, trains=False)
    with pytest.raises(UserError, match="bitsandbytes"):
        check_run(run)


def test_a_cache_must_fit_into_memory(refused: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU; a GPU's cache is a share of its memory."""
    monkeypatch.setattr(preflight, "free_memory", lambda: 3 * 2**29)
    monkeypatch.setattr(preflight, "samples_on_cpu", lambda: True)
    said = refused("engine.cpu_kv_cache_gib=2.0")
    assert "cpu_kv_cache_gib = 2.0 and " in said
    assert " of weights: only 1.5 GiB of memory are free" in said
    said = refused("engine.cpu_kv_cache_gib=1.0", "engine.replicas=2")
    assert "cpu_kv_cache_gib = 1.0 for each of engine.replicas = 2 and " in said


def no_weights(folder: Path) -> Any:
    raise UserError("they are not there")


def test_the_papers_base_on_a_cpu(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8.03 billion weights in 24 GB: 16 GB in bf16 beside a cache of 16 GiB, and 32 GB in fp32 to train them."""
    folder = model_folder(data / "models" / "8b")
    own = json.loads((folder / "config.json").read_text())
    config = {**own, **LLAMA, "vocab_size": own["vocab_size"]}
    (folder / "config.json").write_text(json.dumps(config))
    (data / "prompts.jsonl").write_text("".join(json.dumps({"prompt": f"Why {i}?"}) + "\n" for i in range(24)))
    row = {"prompt": judge_template().fill({"prompt": "Why?", "response": "So."}), "completion": "Score: 3"}
    (data / "eft.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(preflight, "free_memory", lambda: 24_000_000_000)
    monkeypatch.setattr("mr_assets.planning.refusal.shutil.disk_usage", lambda path: SimpleNamespace(free=10**12))
    monkeypatch.setattr(preflight, "samples_on_cpu", lambda: True)
    monkeypatch.setattr("mr_assets.planning.shapes.tensor_shapes", no_weights)  # of a model of 8B they would be others
    paths = (f"model.seed={folder}", "prompts.source=prompts.jsonl", "eft.source=eft.jsonl")
    recipe = load_recipe("llama_3_8b_meta_rewarding", [*paths, "iterations.all.prompts=6"])
    with pytest.raises(UserError) as error:
        check_run(Run("paper", recipe, data), dry=True)
    assert "paper cannot run on this machine's CPU. The base recipe cpu" in str(error.value)
    assert "engine.cpu_kv_cache_gib = 16.0 and" in str(error.value)
    assert "Training (dpo) needs" in str(error.value)


def test_a_context_that_the_model_does_not_have(refused: Check, data: Path) -> None:
    """The smaller of what its configuration and its tokenizer say; a factor of RoPE is the engine's matter."""
    folder = model_folder(data / "models" / "mine")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "max_position_embeddings": 256}))
    said = refused("model.seed=models/mine")
    assert "engine.max_model_len = 512: the model in" in said
    assert "reads 256 tokens at most" in said
    path.write_text(json.dumps({**config, "max_position_embeddings": 256, "rope_scaling": {"factor": 4.0}}))
    check_run(tiny_run(data, "model.seed=models/mine"))


def test_a_control_group_limits_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own limit or that of a group above, less what is used, of which a cache of files counts as free."""
    for folder, limit in ((tmp_path, "max"), (tmp_path / "a", "5000"), (tmp_path / "a" / "b", "9000")):
        folder.mkdir(exist_ok=True)
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text("4000\n")
        (folder / "memory.stat").write_text("anon 1000\ninactive_file 3000\n")
    (tmp_path / "own").write_text("3:cpu:/\n0::/a/b\n")
    monkeypatch.setattr(preflight, "GROUPS_OF_PROCESS", tmp_path / "own")
    monkeypatch.setattr(preflight, "CONTROL_GROUPS", {"": (tmp_path, *preflight.CONTROL_GROUPS[""][1:])})
    assert preflight.free_memory() == 5000 - 4000 + 3000
    (tmp_path / "own").write_text("0::/\n")
    assert preflight.free_memory() > 9000  # no limit, but the machine's


def test_a_stored_recipe_with_an_engine_argument_of_ours_is_refused(data: Path) -> None:
    """It may be read and shown, and not be launched."""
    run = tiny_run(data)
    engine = run.recipe.engine.model_copy(update={"extra": {"trust_remote_code": True}})
    run = replace(run, recipe=run.recipe.model_copy(update={"engine": engine}))
    assert from_yaml(run.recipe.dump_yaml()) == run.recipe
    with pytest.raises(UserError, match=r"cannot be launched.*\n.*engine\.extra\.trust_remote_code"):
        check_run(run)


@pytest.mark.parametrize("kind", ["fifo", "folder", "nul", "huge", "latin-1"])
def test_templates_that_are_none(refused: Check, data: Path, kind: str) -> None:
    data.mkdir()
    path, text = data / "t.txt", judge_template().text
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "nul":
            path.write_text(text + "\0")
        case "huge":
            path.write_text(text + "x" * 300_000)
        case _:
            path.write_bytes((text + "\u00fc").encode("latin-1"))
    assert f"template {path}" in refused_without_reading(data)


def refused_without_reading(data: Path) -> str:
    """A FIFO cannot be compared before and after: reading it would wait."""
    with pytest.raises(UserError) as error:
        check_run(tiny_run(data, "judgments.template=t.txt"))
    return str(error.value)


@pytest.mark.parametrize("name", ["x[1]", "what?", "a*b"])
def test_a_folder_that_the_engine_would_take_for_a_pattern(tmp_path: Path, name: str) -> None:
    """vLLM would find no weights in it, after training; nothing is made."""
    with pytest.raises(UserError, match=r"the data folder .* takes for a pattern"):
        check_run(tiny_run(tmp_path / name))
    assert not (tmp_path / name).exists()
    with pytest.raises(UserError, match=r"the model folder .* takes for a pattern"):
        check_run(tiny_run(tmp_path, f"model.seed={tmp_path / 'm[0]'}"))


def test_a_home_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM keeps a cache there, or where it is told to."""
    (tmp_path / "file").write_text("")
    for name in ("VLLM_CACHE_ROOT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be written. Set VLLM_CACHE_ROOT"):
        check_run(tiny_run(tmp_path / "data"))
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "cache"))
    check_run(tiny_run(tmp_path / "data"))
    assert not (tmp_path / "cache").exists()
