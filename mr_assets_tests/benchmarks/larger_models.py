"""The recipes for Qwen2.5 of 0.5B and 1.5B on a CPU: one iteration of a few rows, at the models' true size.

    make real-model
    python -m mr_assets_tests.benchmarks.larger_models --data /tmp/larger_models [--recipe qwen2_5_0_5b]

The weights are random, as no such model comes in a package: so this says whether the recipe runs, what time and memory
a stage takes, and nothing of what is learnt. Qwen2's layers, 152,000 tokens of which SmolLM2's tokenizer knows 49,000;
scores are expectations and winners asked for, since random text has neither. The same command goes on where it was
stopped.
"""

import argparse
from pathlib import Path

from mr_assets.planning.shapes import Shape, known_shape
from mr_assets.runs.stored import named_runs
from mr_assets_tests.benchmarks.machine import write_result
from mr_assets_tests.benchmarks.real_model import run_recipe, stages
from mr_assets_tests.llama3_shape import config_fields
from mr_assets_tests.real_model import RANKINGS, missing, write_questions
from mr_assets_tests.smollm2 import FOLDER

RECIPES = {"qwen2_5_0_5b": ("0.5b", 4), "qwen2_5_1_5b": ("1.5b", 2)}
"""Of each the model's shape, and the rows of the one step of SFT."""
FEW = (
    "eft.judged_by=ranks",
    "sft.schedule_epochs=1",
    "sft.keep_epoch=1",
    "iterations.all={prompts: 2, keep_epoch: 1, judge_training: true, rho: 0}",
    "switches.cut_off=eligible",  # random text has no end
    "responses.k=3",
    "responses.max_tokens=32",
    "judgments.n=2",
    "judgments.max_tokens=32",
    "judgments.score_line=expectation",
    "meta_judgments.max_tokens=32",
    "meta_judgments.winner_line=asked_again",
    "dpo.schedule_epochs=1",
    "dpo.batch_size=4",
    "guardrails.cut_off_share={warn: 0.1, stop: null}",
    "guardrails.score_reliability_at_least={warn: 0.7, stop: null}",
)


def make_model(folder: Path, shape: Shape) -> Path:
    """A random Qwen2 of this shape, in bf16, with SmolLM2's tokenizer and chat template; the same each time."""
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
    config = Qwen2Config(
        **config_fields(shape, tokenizer, theta=1e6),
        max_position_embeddings=32768,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main() -> None:
    """Measure, and write ``benchmarks/results/RECIPE.json`` of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder of the runs; it stays")
    parser.add_argument("--recipe", choices=RECIPES, help="this one alone")
    args = parser.parse_args()
    if reason := missing():
        raise SystemExit(reason)

    for recipe, (shape, examples) in RECIPES.items():
        if args.recipe in (None, recipe):
            data = args.data.resolve() / recipe
            model = data / "seeds" / "random"
            if not (model / "tokenizer_config.json").is_file():
                make_model(model, known_shape(shape))
            questions = write_questions(data / "questions.jsonl", 8)
            inputs = (f"model.seed={model}", f"prompts.source={questions}", f"eft.source=open_assistant:{RANKINGS}")
            rows = (f"eft.examples={examples}", f"sft.batch_size={examples}")
            looks = run_recipe(data, recipe, recipe, (*inputs, *FEW, *rows), "--iterations", "1")
            print(write_result(recipe, {"stages": stages(named_runs(data, recipe)[recipe], looks)}))


if __name__ == "__main__":
    main()
