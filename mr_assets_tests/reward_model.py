"""A reward model that is as small as one can be: random weights by a seed, the small world's tokenizer and template."""

import json
import shutil
from pathlib import Path

from mr_assets.runs.data_folder import PROJECT

SEED_MODEL = PROJECT / "data" / "seeds" / "small-world"


def reward_model(folder: Path, *, labels: int = 1, weights: bool = True, **config: object) -> Path:
    """A folder as `save_pretrained` writes it of a Llama for sequence classification: one layer of width 32.

    weights: whether to make weights; without them it takes no torch, and is good for checks of the folder alone.
    config: what config.json says otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (SEED_MODEL / name).exists():
            shutil.copy(SEED_MODEL / name, folder)
    said = json.loads((SEED_MODEL / "config.json").read_text(encoding="utf-8"))
    said |= {"architectures": ["LlamaForSequenceClassification"], "num_hidden_layers": 1, "hidden_size": 32}
    said |= {"intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    said |= {"id2label": {str(i): f"LABEL_{i}" for i in range(labels)}, **config}
    if weights:
        import torch
        from transformers import LlamaConfig, LlamaForSequenceClassification

        torch.manual_seed(0)
        LlamaForSequenceClassification(LlamaConfig(**said)).save_pretrained(folder)
    else:
        header = b'{"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}'
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"abcd")
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
