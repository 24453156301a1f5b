"""A reward model that is as small as one can be: random weights by a seed, the small world's tokenizer and template."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr_assets.runs.data_folder import PROJECT
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import RewardSettings, SamplingSettings
from mr_assets.sampling.stats import EngineStats

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


class ByLength:
    """A reward model to which longer is better: a tenth of the tokens of prompt and response, less 3."""

    device, max_model_len, max_num_seqs, tokens_in_flight, stats = "cpu", 512, 8, 0, EngineStats()

    def __init__(self, folder: Path, fingerprint: str, settings: RewardSettings) -> None:
        self.signature: Mapping[str, Any] = {"reward_model": fingerprint}
        self._asked: list[Request] = []

    @property
    def in_flight(self) -> int:
        return len(self._asked)

    def add(self, request: Request, settings: SamplingSettings) -> None:
        self._asked.append(request)

    def step(self) -> list[tuple[str, list[Completion]]]:
        asked, self._asked = self._asked, []
        return [(r.id, [Completion(self.worth(len(r.prompt_ids)), [], "stop")]) for r in asked]

    def worth(self, tokens: int) -> str:
        """Of a conversation of so many."""
        return f"{tokens / 10 - 3:.9g}"

    def reseed(self, seed: int) -> None:
        pass

    def close(self) -> None:
        pass
