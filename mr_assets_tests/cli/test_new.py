"""`mr new`: what it writes passes `mr run --dry-run`, and what it refuses changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from mr_assets.planning.devices import Device
from mr_assets_tests.cli.conftest import Mr, said
from mr_assets_tests.inputs.test_new_recipe import LLAMA
from mr_assets_tests.tiny import files, model_folder

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "<bos>{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
FAMILIES: dict[str, tuple[dict[str, Any], str | None, tuple[str, ...]]] = {
    "llama": (LLAMA, None, ()),
    "tied": (LLAMA | {"tie_word_embeddings": True, "max_position_embeddings": 4096}, None, ()),
    "qwen2": (LLAMA | {"model_type": "qwen2", "vocab_size": 300}, CHATML, ("<|im_start|>", "<|im_end|>")),
    "gemma": (
        LLAMA | {"model_type": "gemma", "head_dim": 16, "vocab_size": 300},
        GEMMA,
        ("<bos>", "<start_of_turn>", "<end_of_turn>"),
    ),
    "gpt2": (
        {"model_type": "gpt2", "vocab_size": 260, "n_positions": 4096, "n_embd": 64, "n_layer": 2, "n_head": 4},
        None,
        (),
    ),
}


def family(folder: Path, name: str) -> Path:
    """A model folder of a family's configuration, chat template and control tokens; the tokens are bytes."""
    config, template, tokens = FAMILIES[name]
    model_folder(folder)
    (folder / "config.json").write_text(json.dumps(config))
    if template:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_special_tokens(list(tokens))
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "chat_template.jinja").write_text(template)
        said = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": tokens[-1]}
        (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return folder


@pytest.fixture
def here(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command is typed in, with prompts and EFT data; a machine without GPUs and with memory."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "p.jsonl").write_text("".join(json.dumps({"prompt": f"Question {n}?"}) + "\n" for n in range(40)))
    (folder / "e.jsonl").write_text('{"prompt": "Rate.", "completion": "Score: 4"}\n')
    monkeypatch.chdir(folder)
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: [])
    monkeypatch.setattr("mr_assets.inputs.preflight.free_memory", lambda: int(64e9))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_writes_passes_the_dry_run(mr: Mr, here: Path, tmp_path: Path, name: str) -> None:
    """By the name of its file, without its suffix; in the data folder nothing is written."""
    folder = family(tmp_path / name, name)
    output = said(mr("new", "mine", "--model", folder, "--prompts", "p.jsonl", "--eft", "e.jsonl"))
    assert "mine.yaml is written" in output and "mr pilot mine" in output and len(output.splitlines()) < 25
    assert set(files(here)) == {"p.jsonl", "e.jsonl", "mine.yaml"}
    assert "mine: would begin with one-off assets" in said(mr("run", "mine", "--dry-run"))
    assert "2 of 20 prompts" in output and ("not computed" in output) == (name == "gpt2")


def test_from_a_model_and_nothing_else(mr: Mr, here: Path, tmp_path: Path) -> None:
    """The model makes the prompts, and is M0 itself: what that means is said beside."""
    output = said(mr("new", "mine", "--model", family(tmp_path / "model", "llama")))
    assert "No EFT data: M0 is the model itself (sft: null)." in output
    text = (here / "mine.yaml").read_text()
    assert 'source: "generated"' in text and "sft: null   # ours; paper: SFT on judged examples" in text
    assert "generated_prompts" in said(mr("run", "mine", "--dry-run"))


def test_without_an_end_token(mr: Mr, here: Path, tmp_path: Path) -> None:
    """The end of a turn ends a completion all the same."""
    folder = family(tmp_path / "model", "llama")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    output = said(mr("new", "mine", "--model", folder, "--prompts", "p.jsonl", "--eft", "e.jsonl"))
    assert "<|end|>, which ends no text: the engine stops there too" in output
    said(mr("run", "mine", "--dry-run"))


@pytest.mark.parametrize(
    "fault", ["no template", "bin", "short", "no folder", "prompts", "name", "ships", "count", "gpu"]
)
def test_what_is_refused_writes_nothing(mr: Mr, here: Path, tmp_path: Path, fault: str) -> None:
    folder = family(tmp_path / "model", "llama")
    arguments: list[object] = ["new", "mine", "--model", folder, "--prompts", "p.jsonl"]
    if fault == "no template":
        (folder / "chat_template.jinja").unlink()
    elif fault == "bin":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif fault == "short":
        (folder / "config.json").write_text(json.dumps(LLAMA | {"max_position_embeddings": 512}))
    elif fault == "prompts":
        (here / "p.jsonl").write_text('{"text": "x"}\n')
    change: dict[str, tuple[int, object]] = {"no folder": (3, "no/folder"), "name": (1, "My-Model")}
    change |= {"ships": (1, "small_world_meta_rewarding"), "count": (0, "new"), "gpu": (0, "new")}
    if fault in change:
        place, value = change[fault]
        arguments[place] = value
    arguments += ["--count", 2] * (fault == "count") + ["--gpu", "h300"] * (fault == "gpu")
    before = files(here)
    result = mr(*arguments)
    expected = {
        "no template": "no chat template",
        "bin": "which may run code when loaded",
        "short": "its context of 512 tokens is too short",
        "no folder": "no model of that name was downloaded before. Download it with --allow-hub",
        "prompts": "expected a column 'prompt'",
        "name": "Try my_model",
        "ships": "is a recipe that ships",
        "count": "--count is of the GPUs that --gpu names",
        "gpu": "Did you mean h200",
    }
    assert result.exit_code != 0 and "Traceback" not in result.output
    assert expected[fault].lower() in " ".join(result.output.split()).lower()
    assert files(here) == before


def test_a_file_that_is_there_stays(mr: Mr, here: Path, tmp_path: Path) -> None:
    """Unless it is to be replaced."""
    folder = family(tmp_path / "model", "llama")
    (here / "mine.yaml").write_text("mine")
    command = ("new", "mine", "--model", folder, "--prompts", "p.jsonl")
    assert "mine.yaml is there already" in mr(*command).output and (here / "mine.yaml").read_text() == "mine"
    said(mr(*command, "--force"))
    assert "extends: cpu" in (here / "mine.yaml").read_text()


def test_for_gpus(mr: Mr, here: Path, tmp_path: Path) -> None:
    folder = family(tmp_path / "model", "llama")
    output = said(mr("new", "mine", "--model", folder, "--prompts", "p.jsonl", "--gpu", "4090", "--count", 2))
    assert "2 x NVIDIA GeForce RTX 4090" in output and "of 24 GB each" in output
    assert "replicas: 2" in (here / "mine.yaml").read_text()


def test_for_the_gpus_of_this_machine(mr: Mr, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a card without a data sheet: its memory is what counts."""
    cards = [Device("NVIDIA A10G", 24_146_608_128, 24_000_000_000)] * 2
    monkeypatch.setattr("mr_assets.planning.devices.devices", lambda: cards)
    output = said(mr("new", "mine", "--model", family(tmp_path / "model", "llama"), "--prompts", "p.jsonl"))
    assert "2 x NVIDIA A10G" in output and "of 24 GB each" in output
