"""The command that makes the small world's seed models: the same one twice gives the same model."""

import json
from pathlib import Path
from typing import Any

import pytest

from mr_assets.runs.data_folder import PROJECT
from mr_assets.worlds.letters import Imperfection
from mr_assets.worlds.make_seed import make_model, make_tokenizer, train

SEEDS = [PROJECT / "data" / "seeds" / name for name in ("small-world", "small-world-unbiased")]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_the_shipped_tokenizer_is_the_scripts(tokenizer: Any, seed: Path, tmp_path: Path) -> None:
    """Every vocabulary entry and merge, and the chat template."""
    tokenizer.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (seed / name).read_bytes(), name


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_the_shipped_model_has_the_scripts_shape(tokenizer: Any, seed: Path) -> None:
    """About a million parameters, and no more tokens than the tokenizer has, rounded up."""
    model, shipped = make_model(tokenizer, seed=0), json.loads((seed / "config.json").read_text())
    for field in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "tie_word_embeddings"):
        assert getattr(model.config, field) == shipped[field], field
    assert 1_000_000 < model.num_parameters() < 1_200_000


@pytest.mark.slow
def test_the_same_steps_give_the_same_weights(tokenizer: Any) -> None:
    """And another seed of the examples gives other ones."""
    import torch

    def trained(examples: str) -> Any:
        model = make_model(tokenizer, seed=0)
        train(model, tokenizer, Imperfection(actor_error=1.0), 2, 1e-3, examples, decision_weight=8.0)
        return model.model.embed_tokens.weight

    first = trained("a")
    assert torch.equal(first, trained("a"))
    assert not torch.equal(first, trained("b"))
