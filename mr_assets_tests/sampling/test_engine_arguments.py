"""engine.extra: vLLM's arguments for speed and memory, and no others."""

import ast
import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from mr_assets.recipes.load import load_recipe
from mr_assets.sampling.engine_arguments import ALLOWED, OURS
from mr_assets.sampling.settings import KVCacheType, Quantization
from mr_assets_tests.recipes.conftest import DEFAULT, refused


@pytest.mark.parametrize(
    "key",
    ["model", "tokenizer", "trust_remote_code", "seed", "revision", "hf_overrides", "load_format", "logits_processors",
     "worker_cls", "worker_extension_cls", "distributed_executor_backend", "speculative_config", "enable_lora",
     "quantization", "dtype", "hf_token", "generation_config", "override_generation_config", "additional_config",
     "compilation_config", "scheduler_cls", "model_impl", "download_dir", "no_such_option"],
)  # fmt: skip
def test_engine_extra_takes_speed_and_memory_alone(key: str) -> None:
    """What decides model, code, tokenizer, seeds or logits is refused before anything starts."""
    assert f"engine.extra.{key}: " in refused(f"engine.extra.{key}=1")


def test_engine_extra_knows_near_names_and_our_own() -> None:
    assert "Did you mean" in refused("engine.extra.async_schedulin=true")
    assert "the recipe's own engine.dtype" in refused("engine.extra.dtype=float32")
    assert load_recipe(DEFAULT, ["engine.extra.async_scheduling=true"]).engine.extra == {"async_scheduling": True}


def test_engine_values_are_vllms() -> None:
    """The lists stand in our code; here they are compared with the installed vLLM's, whose text alone is read."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed")
    root = Path(spec.origin).parent
    tree = ast.parse((root / "engine" / "arg_utils.py").read_text(encoding="utf-8"))
    [cls] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs"]
    names = {n.target.id for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    assert names >= ALLOWED
    assert not ALLOWED & OURS.keys()
    for file, name, ours in (
        (root / "config" / "cache.py", "CacheDType", KVCacheType),
        (root / "model_executor" / "layers" / "quantization" / "__init__.py", "QuantizationMethods", Quantization),
    ):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        [value] = [n.value for n in body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name]
        assert {c.value for c in ast.walk(value) if isinstance(c, ast.Constant)} == set(get_args(ours))
