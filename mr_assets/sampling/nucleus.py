"""The nucleus of `top_p`, found among the likeliest tokens, without the sort of the whole vocabulary.

    probabilities 0.5, 0.3, 0.15, 0.05 and top_p 0.9: the first three, as 0.8 is less than 0.9 and 0.95 is not

vLLM sorts all logits for it. With 49,000 tokens that is half of the time of a small model on a CPU, while the nucleus
seldom has more than some hundreds. A row whose nucleus is larger is left to vLLM. Which of several equally likely
tokens stand at the border is left open by either way, and may differ.
"""

from collections.abc import Callable
from typing import Any

Forward = Callable[..., Any]
"""vLLM's: logits, generators, k (none is given), p to the sampled tokens."""


def nucleus_first(whole: Forward, first: int) -> Forward:
    """vLLM's sampler `whole`, given logits outside of the nucleus as minus infinity where `first` tokens hold it."""

    def forward(logits: Any, generators: Any, k: Any, p: Any) -> Any:
        if k is not None or p is None:
            return whole(logits, generators, k, p)
        return whole(nucleus(logits, p, first, sort_all), generators, None, None)

    return forward


def nucleus(logits: Any, p: Any, first: int, otherwise: Callable[[Any, Any], Any]) -> Any:
    """Logits (rows, vocabulary) with minus infinity for tokens outside of the nucleus of each row's `p` (rows).

    A token is in it if those that are likelier have less than p together. otherwise: what does the same for the rows
    whose nucleus is larger than `first` tokens.
    """
    values, tokens = logits.topk(min(first, logits.shape[-1]), dim=-1)  # from the likeliest on
    shares = (values - logits.logsumexp(dim=-1, keepdim=True)).exp()
    sums = shares.cumsum(dim=-1)
    values = values.masked_fill(sums - shares >= p.unsqueeze(-1), float("-inf"))
    kept = logits.new_full(logits.shape, float("-inf")).scatter_(-1, tokens, values)
    larger = (sums[:, -1] < p).nonzero().squeeze(-1)
    if len(larger):
        kept[larger] = otherwise(logits[larger], p[larger])
    return kept


def sort_all(logits: Any, p: Any) -> Any:
    """vLLM's own way."""
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    return apply_top_k_top_p(logits, None, p)
