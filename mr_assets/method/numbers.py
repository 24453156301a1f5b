"""The figures of each table, one function per asset: as the UI plots them and records keep them.

    actor_pairs    pairs 4,812, share of prompts with a pair 0.962, mean score gap 1.31, mean chosen characters 1,204

`mr verify` works them out again. Figures are for people: nothing is made of them, so that they are no part of an
asset's code version. A figure of nothing is None: the mean score where no judgment has one.
"""

import json

import polars as pl

from mr_assets.ids import prompts_of
from mr_assets.judging import PAPERS_SCORING, Scoring
from mr_assets.method import Frame
from mr_assets.method.intervals import share_interval
from mr_assets.method.reliability import reliability
from mr_assets.method.responses import is_blank

Numbers = dict[str, float | int | None]
SIDES = ("chosen", "rejected")


def ranked_reply_numbers(replies: Frame) -> Numbers:
    """replies: rows of `RANKED_REPLIES`. Prompts and replies, to train on and held out."""
    held, tree = pl.col("held_out"), pl.col("tree_id")
    return _numbers(
        replies,
        {
            "prompts": tree.n_unique().cast(pl.Int64),
            "replies": pl.len(),
            "prompts to train on": tree.filter(~held).n_unique().cast(pl.Int64),
            "prompts held out": tree.filter(held).n_unique().cast(pl.Int64),
            "replies to train on": (~held).sum().cast(pl.Int64),
            "replies held out": held.sum().cast(pl.Int64),
        },
    )


def eft_numbers(examples: pl.DataFrame, dropped: Frame | None = None) -> Numbers:
    """examples: rows of `EFT_DATASET`; dropped: what it dropped, whose commonest score was thinned.

    How many there are of each kind, and their shares, where the rows say so; how often each score is given before and
    after the commonest was thinned, and after the shares of the kinds were taken.
    """
    found: Numbers = {"examples": examples.height}
    if "kind" not in examples.columns:
        return found
    for kind, n in examples.group_by("kind").len().sort("kind").iter_rows():
        found |= {f"{kind}s": n, f"share of {kind}s": n / examples.height}
    given = {score: n for score, n in score_counts(examples).iter_rows()}
    found |= {f"judgments of score {score:g}": n for score, n in given.items()}
    if dropped is not None:
        thinned = dropped.lazy().filter(pl.col("reason") == "commonest_score").select("numbers").collect()
        for numbers, n in thinned.group_by("numbers").len().iter_rows():
            of = json.loads(numbers)
            found |= {
                f"judgments of score {of['score']:g} before thinning": of["count"],
                f"judgments of score {of['score']:g} after thinning": of["count"] - n,
            }
    return found


def response_numbers(responses: Frame) -> Numbers:
    """Columns in: response, finish_reason, duplicate_of."""
    chars = pl.col("response").str.len_chars()
    return _numbers(
        responses,
        {
            "mean characters": chars.mean(),
            "median characters": chars.median(),
            "duplicates": pl.col("duplicate_of").count(),
            "blank": is_blank(pl.col("response")).sum(),
            "cut off": (pl.col("finish_reason") == "length").sum(),
        },
    )


def judgment_numbers(judgments: Frame, scoring: Scoring = PAPERS_SCORING) -> Numbers:
    """Columns in: response_id, score, invalid, chars, finish_reason. Those without a score are counted by reason."""
    score, counts = pl.col("score"), score_counts(judgments, scoring)
    numbers = _numbers(
        judgments,
        {
            "parse rate": score.count() / pl.len(),
            "mean score": score.mean(),
            "standard deviation of scores": score.std(ddof=0),
            "share of top scores": (counted(score, scoring) == scoring.highest).mean(),
            "mean characters": pl.col("chars").mean(),
            "cut off": (pl.col("finish_reason") == "length").sum(),
        },
    )
    numbers["score entropy"] = score_entropy(counts["n"]) if counts.height else None
    return numbers | reliability_numbers(judgments) | _by_reason(judgments, "score")


def reward_numbers(rewards: Frame) -> Numbers:
    """Column in: score, the reward of each response. A reward has no scale, so there are no shares and no entropy."""
    score = pl.col("score")
    return _numbers(rewards, {"mean score": score.mean(), "standard deviation of scores": score.std(ddof=0)})


def reliability_numbers(judgments: Frame) -> Numbers:
    """Columns in: response_id, score. How reliable scores are among the responses of a prompt, and among all."""
    apart, overall = reliability(judgments, "prompt"), reliability(judgments, "all")
    return {
        "score reliability": apart and apart.mean,
        "score reliability, one judgment": apart and apart.single,
        "score reliability, one judgment, over all prompts": overall and overall.single,
    }


def counted(score: pl.Expr, scoring: Scoring) -> pl.Expr:
    """A score as it counts among others: an expectation as the nearest whole number."""
    return score.round() if scoring.expected else score


def score_counts(judgments: Frame, scoring: Scoring = PAPERS_SCORING) -> pl.DataFrame:
    """How often each score is given: columns score and n, highest score first; invalid judgments do not count."""
    scores = judgments.lazy().select(counted(pl.col("score"), scoring)).drop_nulls()
    given = scores.group_by("score")
    return given.agg(n=pl.len().cast(pl.Int64)).sort("score", descending=True).collect(engine="streaming")


def score_entropy(counts: pl.Series) -> float:
    """Entropy in bits of a distribution given by counts: 0 if all is one value, 1 for two equally frequent ones."""
    shares = counts.filter(counts > 0) / counts.sum()
    return max(0.0, -float((shares * shares.log(2)).sum()))


def actor_pair_numbers(pairs: Frame, responses: Frame) -> Numbers:
    """pairs: rows of `ACTOR_PAIRS`; responses: prompt_id, of all that the pairs were taken from."""
    prompts = responses.lazy().select(pl.col("prompt_id").n_unique()).collect().item()
    score_gap = pl.col("chosen_score") - pl.col("rejected_score")
    share = {"share of prompts with a pair": pl.len() / prompts if prompts else pl.lit(0.0)}
    return _numbers(pairs, {"pairs": pl.len(), **share, "mean score gap": score_gap.mean(), **_MEAN_CHARACTERS})


def selected_response_numbers(selected: Frame) -> Numbers:
    """selected: rows of `SELECTED_RESPONSES`."""
    return _numbers(selected, {"selected": pl.len(), "mean score variance": pl.col("score_variance").mean()})


def without_texts(rows: Frame, text: str) -> pl.DataFrame:
    """Rows with the lengths of what was sampled, chars and tokens, in place of the texts and token ids themselves."""
    lengths = {"chars": pl.col(text).str.len_chars(), "tokens": pl.col("token_ids").list.len()}
    return rows.lazy().select(pl.exclude(text, "token_ids"), **lengths).collect()


def meta_judgment_numbers(meta_judgments: pl.DataFrame, judgments: Frame) -> Numbers:
    """meta_judgments: rows of `META_JUDGMENTS`, with chars in place of their texts; judgments: judgment_id, score.

    Copied verdicts count as battles and nowhere else. Those without a winner are counted by reason.
    """
    sampled = meta_judgments.filter(pl.col("copied_from").is_null())
    written = sampled.filter(pl.col("chars").is_not_null())
    numbers = {
        "parse rate": pl.col("winner").count() / pl.len() if written.height else pl.lit(None),
        "mean characters": pl.col("chars").mean(),
        "cut off": (pl.col("finish_reason") == "length").sum(),
        "battles": pl.lit(meta_judgments.height),
    }
    shares = win_shares(sampled, judgments) | win_share_intervals(sampled, judgments)
    return shares | _numbers(written, numbers) | _by_reason(written, "winner")


def win_shares(battles: Frame, scores: Frame) -> Numbers:
    """Shares of decisive battles won by the first position and by the higher score (Table 5); None of no battles.

    battles: first_id, second_id, winner; scores: judgment_id, score. How many battles are behind the shares is there
    too: all decisive ones, and those between different scores.
    """
    shares = {name: won.filter(among).mean() for name, (won, among) in _WINS.items()}
    counts = {
        "decisive battles": pl.len().cast(pl.Int64),
        "decisive battles, different score": (~pl.col("same")).sum().cast(pl.Int64),
    }
    return _numbers(_decided(battles, scores), shares | counts)


def win_share_intervals(battles: Frame, scores: Frame) -> Numbers:
    """The 95% intervals of `win_shares`, as NAME_low and NAME_high: by the variance over prompts (`share_interval`)."""
    decided, found = _decided(battles, scores), Numbers()
    for name, (won, among) in _WINS.items():
        interval = share_interval(decided.filter(among), won, pl.col("prompt"))
        found |= {f"{name}_low": interval and interval.low, f"{name}_high": interval and interval.high}
    return found


_WINS: dict[str, tuple[pl.Expr, pl.Expr]] = {
    "first position wins": (pl.col("first"), pl.lit(True)),
    "first position wins, same score": (pl.col("first"), pl.col("same")),
    "first position wins, different score": (pl.col("first"), ~pl.col("same")),
    "higher score wins": (pl.col("first") != pl.col("lower"), ~pl.col("same")),
}
"""Of each share of wins: what counts as one, and among which decisive battles (Table 5)."""


def _decided(battles: Frame, scores: Frame) -> pl.DataFrame:
    """Of each decisive battle its prompt, whether the first won, and whether its score is the same or lower."""
    given = scores.lazy().select("judgment_id", "score")
    return (
        battles.lazy()
        .filter(pl.col("winner").is_not_null())
        .join(given.rename({"judgment_id": "first_id", "score": "a"}), on="first_id")
        .join(given.rename({"judgment_id": "second_id", "score": "b"}), on="second_id")
        .select(
            prompt=prompts_of("first_id"),
            first=pl.col("winner") == "first",
            same=pl.col("a") == pl.col("b"),
            lower=pl.col("a") < pl.col("b"),
        )
        .collect(engine="streaming")
    )


def battle_matrix_numbers(matrices: Frame) -> Numbers:
    """matrices: rows of `BATTLE_MATRICES`."""
    return _numbers(
        matrices,
        {
            "matrices": pl.len(),
            "omega 1": pl.col("omega_1").mean(),
            "omega 2": pl.col("omega_2").mean(),
            "share strongly connected": pl.col("strongly_connected").mean(),
            "judgments per matrix": pl.col("judgment_ids").list.len().mean(),
        },
    )


def elo_pair_numbers(pairs: Frame, matrices: Frame) -> Numbers:
    """pairs: rows of `ELO_PAIRS` `with_pair_scores`; matrices: rows of `BATTLE_MATRICES`."""
    count = matrices.lazy().select(pl.len()).collect().item()
    score_gap = pl.col("chosen_score") - pl.col("rejected_score")
    return _numbers(
        pairs,
        {
            "pairs": pl.len(),
            "mean Elo gap": (pl.col("chosen_elo") - pl.col("rejected_elo")).mean(),
            "standard deviation of Elo": pl.col("elo").explode().drop_nulls().std(),
            "share of matrices with a pair": pl.len() / count if count else pl.lit(None),
            **_MEAN_CHARACTERS,
            "mean score of chosen less rejected": score_gap.mean(),
        },
    )


def with_pair_scores(pairs: Frame, judgments: Frame) -> pl.LazyFrame:
    """Judge pairs with chosen_score and rejected_score, the scores that their two judgments give.

    pairs: columns chosen_id and rejected_id; judgments: judgment_id, score.
    """
    found = pairs.lazy()
    for side in SIDES:
        given = judgments.lazy().select("judgment_id", "score")
        given = given.rename({"judgment_id": f"{side}_id", "score": f"{side}_score"})
        found = found.join(given, on=f"{side}_id", how="left", maintain_order="left")
    return found


def dpo_dataset_numbers(dataset: Frame) -> Numbers:
    """dataset: rows of `DPO_DATASET`."""
    kind = pl.col("kind")
    return _numbers(
        dataset,
        {
            "pairs": pl.len(),
            "actor pairs": (kind == "actor").sum(),
            "judge pairs": (kind == "judge").sum(),
            "judge share": (kind == "judge").mean(),
            **{f"mean {part} tokens": pl.col(f"{part}_token_ids").list.len().mean() for part in ("prompt", *SIDES)},
        },
    )


_MEAN_CHARACTERS = {f"mean {side} characters": pl.col(f"{side}_chars").mean() for side in SIDES}


def _numbers(frame: Frame, figures: dict[str, pl.Expr]) -> Numbers:
    """The figures of a table by name."""
    return frame.lazy().select(**figures).collect().row(0, named=True)


def _by_reason(frame: Frame, value: str) -> Numbers:
    """How many rows have no value, by the reason in the column ``invalid``; and how many were asked for it again."""
    has, asked = pl.col(value).is_not_null(), pl.col("invalid").is_not_null()
    again = frame.lazy().filter(has & asked).select(pl.len()).collect().item()
    reasons = frame.lazy().filter(~has).group_by("invalid").len().drop_nulls().sort("invalid").collect()
    numbers: Numbers = {f"without a {value}: {reason}": n for reason, n in reasons.iter_rows()}
    return ({f"{value} asked again": again} if again else {}) | numbers
