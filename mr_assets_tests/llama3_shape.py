"""A model folder of Llama 3's shape, made on the spot: its kind of tokenizer, its chat template, random weights.

What matters here is what can go wrong with the real one and cannot with the small world's: the tokenizer puts
``<|begin_of_text|>`` before any text that it encodes (with the chat template's own that makes two), it has no padding
token, the end of a turn is not the end of a text, digits go in threes, and the weights are stored in bf16.
"""

from pathlib import Path
from typing import Any

from mr_assets.planning.shapes import Shape
from mr_assets.templates import judge_template, meta_judge_template

CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CONTROL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{i}|>" for i in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
)


def make_llama3_shaped_tokenizer(vocabulary: int = 768) -> Any:
    """A byte-level BPE tokenizer with Llama 3's split, special tokens, post-processor and chat template.

    `vocabulary` counts the ordinary tokens, learnt from the judge and meta-judge prompts; the special ones follow.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
    )
    tokenizer.train_from_iterator([judge_template().text, meta_judge_template().text], trainer)
    tokenizer.add_special_tokens(list(CONTROL_TOKENS))
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A {begin} $B",
        special_tokens=[(begin, tokenizer.token_to_id(begin))],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=begin,
        eos_token="<|eot_id|>",
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_llama3_shaped_model(folder: Path, hidden: int = 64, layers: int = 2, vocabulary: int = 768) -> Path:
    """Save tokenizer and a random Llama (grouped-query attention, untied embeddings, bf16) to `folder`; return it.

    The defaults give about 0.2 million parameters and a context of 4,096 tokens. The weights are the same every time.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = make_llama3_shaped_tokenizer(vocabulary)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|end_of_text|>", "<|eot_id|>")]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=ends, do_sample=True, temperature=0.6, top_p=0.9
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def config_fields(shape: Shape, tokenizer: Any, theta: float) -> dict[str, Any]:
    """What configurations of Llama, Qwen2 and the like have in common, of a model of this shape in bf16."""
    import torch

    return {
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "tie_word_embeddings": shape.tied,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "dtype": torch.bfloat16,
    }


def make_model_of_shape(folder: Path, shape: Shape, device: str) -> Path:
    """Save a random Llama of any shape, in bf16, with the small tokenizer above; its weights are drawn on `device`.

    The model has more tokens than the tokenizer: what it samples beyond has no text.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_llama3_shaped_tokenizer()
    config = LlamaConfig(
        **config_fields(shape, tokenizer, theta=500000.0),
        head_dim=shape.head,
        max_position_embeddings=8192,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
