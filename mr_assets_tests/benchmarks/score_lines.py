"""A judge's scores as sampled, asked for again and as expectations, of the same judgments, against people's ranks.

    python -m mr_assets_tests.benchmarks.score_lines MODEL_FOLDER TREES.jsonl [PROMPTS]

The model judges all ranked replies to so many first prompts three times. Printed are the share with a score and the
share of pairs of replies that the mean scores order as people did (a tie counts half), with its standard error over
prompts, and on how many pairs that is.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.ids import response_of
from mr_assets.inputs.open_assistant import read_open_assistant
from mr_assets.method.judgments import judgments
from mr_assets.method.ranked_replies import by_prompt, ranked_replies
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Judgments
from mr_assets.sampling.engine import Request
from mr_assets.sampling.live import close_engine, open_engine
from mr_assets.sampling.settings import SamplingSettings
from mr_assets.sampling.shards import sample_shards, scan_shards
from mr_assets.templates import judge_template
from mr_assets.wiring.asked_lines import Asking, with_scores_asked

SAMPLES, TOKENS, CONTEXT = 3, 192, 2048


def main(model: Path, trees: Path, prompts: int = 40) -> None:
    """Judge, ask again, and print a line for each way."""
    recipe = load_recipe("llama_3_8b_meta_rewarding", [f"judgments.max_tokens={TOKENS}", f"judgments.n={SAMPLES}"])
    encode, template = ChatEncoder.load(model), judge_template()
    replies = ranked_replies(read_open_assistant(str(trees), trees.parent), language="en", held_out=0).rows
    asked, ranks = {}, {}
    for p, group in enumerate(islice(by_prompt(replies), prompts)):
        for r, reply in enumerate(group):
            asked[f"{p}.r{r}"] = {"prompt": str(reply["prompt"]), "response": str(reply["response"])}
            ranks[f"{p}.r{r}"] = int(str(reply["rank"]))
    engine_settings = recipe.engine.model_copy(
        update={"max_model_len": CONTEXT, "max_num_seqs": 32, "cpu_kv_cache_gib": 1.0, "enforce_eager": None}
    )
    engine = open_engine(model, fingerprint(model), engine_settings, stop_token_ids=encode.stop_token_ids)
    with TemporaryDirectory() as folder:

        def ask(requests: Iterator[Request], count: int, settings: SamplingSettings, role: str) -> pl.LazyFrame:
            print(f"{role}: {count} requests", file=sys.stderr)
            found = sample_shards(
                engine, requests, settings, Path(folder), signature={"role": role}, seed=1, shard_size=120
            )
            return scan_shards(found.paths)

        requests = (Request(id, encode.template_ids(template, each), SAMPLES) for id, each in asked.items())
        sampled = judgments(ask(requests, len(asked), recipe.judgments, "sampled")).collect()
        by = Asking(encode, lambda id: encode.template_ids(template, asked[response_of(id)]), ask)
        report("sampled", sampled, ranks)
        for how in ("asked_again", "expectation"):
            section = Judgments(**{**recipe.judgments.model_dump(), "score_line": how})
            report(how, with_scores_asked(sampled, section, by), ranks)
    close_engine()


def report(how: str, judged: pl.DataFrame, ranks: dict[str, int]) -> None:
    """Print the parse rate, the mean score and the agreement with the ranks."""
    mean = dict(judged.group_by("response_id").agg(pl.col("score").mean()).drop_nulls().iter_rows())
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for a, b in combinations(ranks, 2):
        if a.partition(".")[0] == b.partition(".")[0] and ranks[a] != ranks[b] and a in mean and b in mean:
            better = (mean[a] - mean[b]) * (ranks[b] - ranks[a])
            by_prompt[a.partition(".")[0]].append(0.5 if mean[a] == mean[b] else float(better > 0))
    shares = [fmean(each) for each in by_prompt.values()]
    error = f" +- {stdev(shares) / len(shares) ** 0.5:.3f}" if len(shares) > 1 else ""
    agreement = f"{fmean(shares):.3f}{error}" if shares else "none"
    score, pairs = judged["score"], sum(map(len, by_prompt.values()))
    mean_score = fmean(score.drop_nulls()) if score.count() else float("nan")
    print(
        f"{how:12} {score.count()} of {judged.height} with a score ({score.count() / judged.height:.1%}), "
        f"mean {mean_score:.2f}, agreement {agreement} on {pairs} pairs of {len(shares)} prompts",
        flush=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
