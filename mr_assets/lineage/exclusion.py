"""Why a candidate is on neither side of a pair that was made, in words; and what the truth says, where it is known.

    r0    in the bottom tier, but r2 is longer (44 characters, it has 19)
    r4    its mean score 4.091 lies between the tiers, bottom to 1 and top from 4.273
    j3    its Elo 1.98 lies between -5.81 and 3.265

Where there is no pair, `Round.no_pair` says why; what an asset dropped of all that follows is in `Response.dropped`.
"""

from mr_assets.ids import PairKind, response_of, short
from mr_assets.lineage.facts import Judgment, Pair, Response, Round


def response_exclusion(round_: Round, response: Response) -> str | None:
    """Why a response is in no actor pair; None if it is in one, or if there is none."""
    rule, pair = round_.rule, round_.pair("actor")
    if response.duplicate_of:
        return f"it has the same text as {short(response.duplicate_of)}, which stands for both"
    if rule is None or pair is None or response.mean is None or response.id in _sides(pair):
        return None
    said = []
    if response.id in rule.eligible:
        said.append(_weighed(round_, response, pair.chosen_id, "top", "short"))
    elif response.in_top:
        said.append("in the top tier, but cut off at max tokens")
    if response.in_bottom:
        said.append(_weighed(round_, response, pair.rejected_id, "bottom", "long"))
    bounds = f"bottom to {rule.bottom_to:.4g} and top from {rule.top_from:.4g}"
    return "; ".join(said) or f"its mean score {response.mean:.4g} lies between the tiers, {bounds}"


def judgment_exclusion(round_: Round, judgment: Judgment) -> str | None:
    """Why a judgment is in no judge pair; None if it is in one, or if there is none."""
    contest, pair = round_.contest, round_.pair("judge")
    if contest is None or contest.elo is None or pair is None or judgment.id in _sides(pair):
        return None
    if response_of(judgment.id) != contest.response_id:
        return f"it judges another response than {short(contest.response_id)}, whose scores vary most"
    elo = contest.elo.scores.get(judgment.id)
    if elo is None:
        return "it has no score, and so took part in no battle"
    if judgment.id in contest.elo.top and judgment.finish_reason == "length":
        return f"its Elo {elo:.4g} is the highest, but it was cut off at max tokens"
    for side, best, tied in (("chosen", "highest", contest.elo.top), ("rejected", "lowest", contest.elo.bottom)):
        if judgment.id in tied:
            winner = pair.chosen_id if side == "chosen" else pair.rejected_id
            return f"its Elo {elo:.4g} is the {best}, as that of {short(winner)}, which won the draw"
    return f"its Elo {elo:.4g} lies between {pair.rejected_worth:.4g} and {pair.chosen_worth:.4g}"


def judgment_truth(off: float | None) -> str | None:
    """How far a judgment's score is from the truth, in words; None where that is not known."""
    if off is None:
        return None
    return "exact" if off == 0 else f"off by {abs(off):.4g}, too {'high' if off > 0 else 'low'}"


_BETTER: dict[PairKind, tuple[str, str, str]] = {
    "actor": ("chosen is truly better", "chosen and rejected are truly equal", "contradicts the truth"),
    "judge": (
        "the chosen judgment is nearer to the truth",
        "both judgments are equally far from the truth",
        "contradicts the truth",
    ),
}


def pair_truth(pair: Pair) -> str | None:
    """What the truth says of a pair, in words; None where it is not known."""
    gap = pair.true_gap
    if gap is None:
        return None
    return _BETTER[pair.kind][0 if gap > 0 else 1 if gap == 0 else 2] + (f", by {abs(gap):.4g}" if gap else "")


def _sides(pair: Pair) -> tuple[str, str]:
    return pair.chosen_id, pair.rejected_id


def _weighed(round_: Round, response: Response, winner: str, tier: str, way: str) -> str:
    """What a response of a tier lost by: its length, or a draw."""
    chars = {each.id: each.chars for each in round_.responses}
    if chars[winner] == response.chars:
        return f"in the {tier} tier and as {way} as {short(winner)}, which won the draw"
    return f"in the {tier} tier, but {short(winner)} is {way}er ({chars[winner]} characters, it has {response.chars})"
