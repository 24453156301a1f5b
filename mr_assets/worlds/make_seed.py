"""Make a seed model of the small world: a Llama of about a million parameters that answers, judges and meta-judges.

    python -m mr_assets.worlds.make_seed --out data/seeds/small-world
    python -m mr_assets.worlds.make_seed --out data/seeds/small-world-unbiased --unbiased

A clean stage teaches the tasks, and at its end the decisions above all; a short imperfect stage then makes the model
err on purpose (see `Imperfection`), and that imperfect model is what ships. Same command, same threads, same machine
type: same weights. `--clean FOLDER` keeps the clean stage's model, and takes it from there when it exists, so that a
second imperfection costs a few minutes.
"""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mr_assets.templates import judge_template, meta_judge_template
from mr_assets.worlds import letters
from mr_assets.worlds.letters import Imperfection

CONTROL_TOKENS = ("<|pad|>", "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "<|begin|>{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SEED_IMPERFECTION = Imperfection(
    actor_error=1.0, judge_noise=0.2, verbosity_bias=0.6, meta_noise=0.12, meta_flips=0.12, first_bias=0.65
)
UNBIASED_IMPERFECTION = Imperfection(
    actor_error=1.0, judge_noise=0.4, verbosity_bias=0.0, meta_noise=0.12, meta_flips=0.12, first_bias=0.65
)


def make_tokenizer() -> Any:
    """A byte-level BPE tokenizer whose words are those of the world.

    The fixed blocks of the two prompt templates are one token each; any other text falls back to pieces and bytes.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rng = random.Random("tokenizer")
    texts = []
    for _ in range(4000):
        prompt = letters.make_prompt(rng)
        response = letters.graded_response(prompt, rng.randint(0, 5), rng)
        judgment = letters.judgment_text(prompt, response, rng.randint(0, 5), rng)
        meta = letters.meta_judgment_text(
            prompt, response, rng.randint(0, 5), rng.randint(0, 5), rng.randint(0, 5), "A"
        )
        texts += [prompt, response, judgment, meta, meta[:-1] + "B"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=760,
        min_frequency=20,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(CONTROL_TOKENS),
    )
    tokenizer.train_from_iterator(texts, trainer)
    blocks = dict.fromkeys(judge_template().fixed_blocks + meta_judge_template().fixed_blocks)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        extra_special_tokens=[*CONTROL_TOKENS[2:4], *blocks],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: Any, seed: int) -> Any:
    """An untrained Llama for that tokenizer: hidden 128, 5 layers, 4 heads, 2 key-value heads, tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=(len(tokenizer) + 15) // 16 * 16,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).float()


Example = tuple[str, str]  # the user's message and the model's completion


def example_makers(im: Imperfection, rng: random.Random) -> list[tuple[int, Callable[[], Example]]]:
    """Per role the number of examples in a training step and the function that draws one."""
    judge, meta = judge_template(), meta_judge_template()

    def actor_example() -> Example:
        prompt = letters.make_prompt(rng)
        return prompt, im.response(prompt, rng)

    def judged() -> tuple[str, str]:
        """Half of the responses are evenly graded, half are what the imperfect actor will say."""
        prompt = letters.make_prompt(rng)
        if rng.random() < 0.5:
            response = letters.graded_response(prompt, rng.randint(0, 5), rng)
        else:
            response = SEED_IMPERFECTION.response(prompt, rng)
        return prompt, response

    def judge_example() -> Example:
        prompt, response = judged()
        text = letters.judgment_text(prompt, response, im.score(prompt, response, rng), rng)
        return judge.fill({"prompt": prompt, "response": response}), text

    def meta_example() -> Example:
        prompt, response = judged()
        scores = [im.score(prompt, response, rng) if rng.random() < 0.5 else rng.randint(0, 5) for _ in "AB"]
        texts = [letters.judgment_text(prompt, response, s, rng) for s in scores]
        values = {"prompt": prompt, "response": response, "judgment_a": texts[0], "judgment_b": texts[1]}
        fair, winner = im.meta(letters.true_score(prompt, response), scores[0], scores[1], rng)
        return meta.fill(values), letters.meta_judgment_text(prompt, response, scores[0], scores[1], fair, winner)

    return [(64, actor_example), (64, judge_example), (40, meta_example)]


def train(
    model: Any, tokenizer: Any, im: Imperfection, steps: int, rate: float, seed: str, decision_weight: float = 1.0
) -> None:
    """Train in place on endless fresh examples; cosine schedule, loss on the completions alone.

    decision_weight: of the last token before the end, which is the judge's score or the meta-judge's winner: one token
    of some forty, so that at weight 1 the comparison behind it is learnt late.
    """
    import torch

    rng = random.Random(seed)
    makers = example_makers(im, rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    warmup = min(50, steps // 10)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, total_iters=warmup),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - warmup, eta_min=rate * 0.02),
        ],
        milestones=[warmup],
    )
    model.train()
    started = time.monotonic()
    for step in range(1, steps + 1):
        losses = []
        for count, make in makers:
            ids, weights = _batch(tokenizer, [make() for _ in range(count)], decision_weight)
            logits = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long()).logits
            each = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
            loss = (each * weights[:, 1:]).sum() / weights[:, 1:].sum()
            (loss / len(makers)).backward()
            losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 50 == 0 or step == steps:
            left = (time.monotonic() - started) / step * (steps - step)
            roles = zip(("actor", "judge", "meta-judge"), losses, strict=True)
            print(f"step {step}/{steps}, {left:.0f} s left:", *(f"{r} {x:.3f}" for r, x in roles), flush=True)


def _batch(tokenizer: Any, examples: list[Example], decision_weight: float) -> tuple[Any, Any]:
    """Token ids and the weight of each token's loss: 0 for prompt and padding, both (examples, tokens)."""
    import torch

    prompts = tokenizer([f"<|begin|><|user|>{p}<|assistant|>" for p, _ in examples], add_special_tokens=False).input_ids
    completions = tokenizer([f"{c}<|end|>" for _, c in examples], add_special_tokens=False).input_ids
    width = max(len(p) + len(c) for p, c in zip(prompts, completions, strict=True))
    ids = torch.full((len(examples), width), tokenizer.pad_token_id)
    weights = torch.zeros((len(examples), width))
    for i, (p, c) in enumerate(zip(prompts, completions, strict=True)):
        end = len(p) + len(c)
        ids[i, :end] = torch.tensor(p + c)
        weights[i, len(p) : end] = 1.0
        weights[i, end - 2] = decision_weight
    return ids, weights


def main() -> None:
    """Make the seed that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write the seed model to")
    parser.add_argument("--unbiased", action="store_true", help="noise in place of the judge's verbosity bias")
    parser.add_argument("--clean", type=Path, help="folder that keeps the clean stage's model")
    parser.add_argument("--clean-steps", type=int, default=500)
    parser.add_argument("--decision-steps", type=int, default=140)
    parser.add_argument("--imperfect-steps", type=int, default=160)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    tokenizer = make_tokenizer()
    if args.clean and (args.clean / "model.safetensors").exists():
        model = AutoModelForCausalLM.from_pretrained(args.clean, dtype=torch.float32, local_files_only=True)
    else:
        model = make_model(tokenizer, seed=0)
        print(f"clean stage: {model.num_parameters():,} parameters, {len(tokenizer)} tokens", flush=True)
        train(model, tokenizer, Imperfection(), args.clean_steps, 3e-3, "clean")
        train(model, tokenizer, Imperfection(), args.decision_steps, 1e-3, "decisions", decision_weight=8.0)
        if args.clean:
            model.save_pretrained(args.clean)
    print("imperfect stage", flush=True)
    imperfection = UNBIASED_IMPERFECTION if args.unbiased else SEED_IMPERFECTION
    train(model, tokenizer, imperfection, args.imperfect_steps, 1e-3, "imperfect")
    model.save_pretrained(args.out)
    tokenizer.save_pretrained(args.out)


if __name__ == "__main__":
    main()
