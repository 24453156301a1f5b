"""How many of the tokens that DPO computes are padding, at the paper's lengths, and what the order in a step saves.

    python -m mr_assets_tests.benchmarks.padding [--pairs 10000] [--micro-batch 2] [--repeats 5]

Nothing is trained: the lengths are drawn (log-normal; mean 60 tokens of prompt and 450 of response, the two of a pair
apart), and counted is what the collator pads: all sequences of a micro-batch, two of a pair, to the longest.
"""

import argparse
import random
from collections.abc import Sequence

import numpy as np

from mr_assets.training.batches import longest_first
from mr_assets_tests.benchmarks.machine import spread, write_result

STEP = 32  # pairs (A.3)


def padding_share(order: Sequence[int], pairs: Sequence[tuple[int, int]], micro_batch: int) -> float:
    """The share of padding in all micro-batches of an epoch.

    pairs: tokens of both sequences of each pair, prompt included.
    """
    micro_batches = [order[i : i + micro_batch] for i in range(0, len(order), micro_batch)]
    computed = sum(2 * len(batch) * max(max(pairs[i]) for i in batch) for batch in micro_batches)
    return 1 - sum(sum(pairs[i]) for i in order) / computed


def drawn_pairs(count: int, seed: int) -> list[tuple[int, int]]:
    """Tokens of both sequences of each pair."""
    rng = np.random.default_rng(seed)

    def lengths(mean: float, sigma: float) -> np.ndarray:
        return np.maximum(rng.lognormal(np.log(mean) - sigma**2 / 2, sigma, count), 1).astype(int)

    prompt, chosen, rejected = lengths(60, 0.8), lengths(450, 0.4), lengths(450, 0.4)
    return [(int(p + c), int(p + r)) for p, c, r in zip(prompt, chosen, rejected, strict=True)]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--micro-batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    before, after = [], []
    for seed in range(args.repeats):
        pairs = drawn_pairs(args.pairs, seed)
        order = random.Random(seed).sample(range(args.pairs), args.pairs)
        before.append(padding_share(order, pairs, args.micro_batch))
        lengths = [max(pair) for pair in pairs]
        after.append(padding_share(list(longest_first(order, lengths, STEP)), pairs, args.micro_batch))
    result = {"pairs": args.pairs, "micro_batch": args.micro_batch, "step": STEP}
    result |= {"padding share, as drawn": spread(before), "padding share, longest first": spread(after)}
    print(result)
    print(write_result("padding", result))


if __name__ == "__main__":
    main()
